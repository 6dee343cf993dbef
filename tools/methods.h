// The ways from a low-resolution volume to the output grid that `srengine table` compares, and what they give on a
// scan.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/pipeline.h"
#include "tools/degrade_sidecar.h"

namespace sr {

// Example: {"b4u4", 225840, 225000}.
struct NetworkSize {
  std::string model;
  int64_t parameters;     // running statistics are none
  int64_t multiply_adds;  // per voxel
};

class Method {
 public:
  virtual ~Method() = default;
  // The native grid's volume on the output grid. Throws Error{interrupted} where progress says so.
  virtual Volume restore(const Volume& native, Size3 grid, const Progress& progress) = 0;
  // How often a restoration of a scan is timed; the median counts. What takes milliseconds is easily disturbed.
  virtual int repeats() const { return 1; }
  // Milliseconds of a restoration, without a scan: measured `repeats` times, the median.
  virtual double ms_per_volume(Size3 native, Size3 grid, int repeats) = 0;
  // What is held while a volume is restored: volumes, patches in flight, threads' scratch. Without the memory that
  // transforms of k-space take in passing.
  virtual int64_t held_bytes(Size3 native, Size3 grid) const = 0;
  // "CPU (AVX2), 2 threads, 1 patch in flight"; throws Error{resource_error} where it is not what it was at the start.
  virtual std::string device() const { return ""; }
};

// As `srengine upsample`.
std::unique_ptr<Method> interpolation_method(Interpolation interpolation);

// As `srengine run` after `srengine degrade --method INPUT`, the weights' own input. Checked against the plain loops
// and warmed up. Throws Error.
std::unique_ptr<Method> network_method(const Weights& weights, const RestoreOptions& options, const Factors& factors);

NetworkSize size_of(const Weights& weights);

// What a method gives on one scan; averages over the volumes of a 4D file.
struct ScanFigures {
  double ms = 0;                         // from the native grid to the result, both in memory
  double psnr = 0, ssim = 0, nrmse = 0;  // 0 where they were not asked for
};

struct MeasuredScan {
  Size3 size{};
  std::vector<ScanFigures> figures;  // of each method
};

// Reads a high-resolution scan, cuts its k-space, has it restored by each method and compares. title: of the progress
// bar; "" for none. Throws Error with one sentence that names the scan.
MeasuredScan measure_on_scan(const std::filesystem::path& scan, const Factors& factors,
                             const std::vector<Method*>& methods, bool with_quality, const std::string& title);

}  // namespace sr
