// The main job: a scan and weights in, the restored scan out.
#pragma once

#include <chrono>
#include <filesystem>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/backends/backend.h"
#include "engine/domain.h"
#include "engine/images/consistency.h"
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

// One scan of a call. Empty names are files that are not wanted.
struct ScanRequest {
  std::filesystem::path input, output;
  std::filesystem::path change;       // result minus interpolated input, in the input's units
  std::filesystem::path uncertainty;  // standard deviation over the flips, in the input's units
  std::optional<Measured> measured;   // with `upsample`, the native grid is what was measured; its factors are not used
};

// Wall-clock seconds of each stage of one scan, all volumes together.
struct StageTimes {
  double read = 0, upsample = 0, restore = 0, consistency = 0, write = 0;
};

// What was done to one scan; the program writes it as the JSON sidecar.
struct RestoreReport {
  std::filesystem::path input, output;
  Size3 input_size{}, output_size{};
  int64_t n_volumes = 0;
  int n_patches = 0;  // of one volume
  BatchNorm batch_norm = BatchNorm::patch;
  std::optional<double> consistency_weight;  // where what was measured was put back
  std::vector<Intensity> intensities;        // of each volume
  int64_t n_nonfinite = 0;                   // voxels of the scan
  int64_t n_nonfinite_result = 0;            // voxels that the network made of finite ones
  StageTimes seconds;
  std::vector<std::string> warnings;
};

// A network loaded and ready. Buffers live as long as it does, so that a second scan allocates nothing.
class Restorer {
 public:
  // Throws Error{bad_usage} where options and weights do not go together.
  Restorer(const Weights& weights, const RestoreOptions& options);

  // Reads, restores and writes a scan, volume by volume. Each file appears whole or not at all.
  RestoreReport restore_scan(const ScanRequest& request, const Progress& progress) {
    return start_scan(request, progress).get();
  }

  // The same, but returns when the last volume is restored: it is written on a thread of its own (as far as the
  // machine gives one), so that the next scan may start meanwhile; its input and results stay in memory until then.
  // What goes wrong while writing is thrown by get(); a future that is dropped waits.
  std::future<RestoreReport> start_scan(const ScanRequest& request, const Progress& progress);

  // One volume on the output grid, the network alone: once, without flips. `intensity`, where given, receives what was
  // measured.
  Volume restore(const Volume& volume, const Progress& progress, Intensity* intensity = nullptr);

  // The measured centre of k-space of a scan, as read, ready to be put back into its results.
  DataConsistency consistency_of(const Volume& scan, const Measured& measured) const;

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
