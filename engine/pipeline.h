// The main job: a volume and weights in, the restored volume out (engine/scan_queue.h does it to files).
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "engine/backends/backend.h"
#include "engine/domain.h"
#include "engine/images/consistency.h"
#include "engine/images/flips.h"
#include "engine/images/kspace.h"
#include "engine/nifti/nifti.h"

namespace sr {

struct RestoreOptions {
  BackendOptions backend;
  int margin = 3;
  Pad pad = Pad::zero;
  std::optional<BatchNorm> batch_norm;  // default: what the weights file says
  std::optional<Factors> upsample;      // the scan is on its native low-resolution grid: bring it to a finer one first
  int flips = 1;                        // 1, 2, 4 or 8: the mean over so many mirrored runs (engine/images/flips.h)
  OutputType type = OutputType::float32;
  int compression_level = 0;  // of .gz names, 1 .. 9; 0: the writer's default
};

// What the scanner measured of a scan, and how much of it is put back (engine/images/consistency.h).
struct Measured {
  Factors factors{1, 1, 1};                      // the cut of k-space, of a scan on the output grid
  Interpolation way_back = Interpolation::sinc;  // how that scan came to the output grid
  double weight = 1;
};

// Wall-clock seconds of each stage.
struct StageTimes {
  double read = 0, upsample = 0, restore = 0, consistency = 0, write = 0;
};

struct RestoredVolume {
  Volume input;      // on the output grid: as the network saw it
  MeanAndSd result;  // over the flips
  Intensity intensity;
};

// A network loaded and ready. Buffers live as long as it does, so that a second scan allocates nothing.
class Restorer {
 public:
  // Throws Error{bad_usage} where options and weights do not go together.
  Restorer(const Weights& weights, const RestoreOptions& options);

  // One volume of a scan, as read: brought to the output grid, restored as often as flips ask for, with what was
  // measured put back. Adds to the stages' times.
  RestoredVolume restore_volume(Volume scan, const std::optional<Measured>& measured, const Progress& progress,
                                StageTimes& seconds);

  // One volume on the output grid, the network alone: once, without flips. `intensity`, where given, receives what was
  // measured.
  Volume restore(const Volume& volume, const Progress& progress, Intensity* intensity = nullptr);

  // The measured centre of k-space of a scan, as read, ready to be put back into its results.
  DataConsistency consistency_of(const Volume& scan, const Measured& measured) const;

  // Why the CPU took over from the GPU, where it did since this was last asked; "" where it did not.
  std::string why_gpu_was_left();

  const RestoreOptions& options() const { return options_; }
  const std::optional<Domain>& domain() const { return domain_; }  // of what the weights were trained on
  const Network& network() const { return *network_; }
  const Backend& backend() const { return *backend_; }
  Backend& backend() { return *backend_; }
  BatchNorm batch_norm() const { return batch_norm_; }

 private:
  RestoreOptions options_;
  Normalization normalization_;
  std::optional<Domain> domain_;
  std::unique_ptr<Network> network_;
  BatchNorm batch_norm_;
  std::unique_ptr<Backend> backend_;
  std::string said_why_not_gpu_;  // what the caller or a report has been told
};

}  // namespace sr
