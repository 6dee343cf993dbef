// What runs a network over the patches of a volume.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/backends/patches.h"
#include "engine/base/volume.h"
#include "engine/networks/network.h"
#include "engine/networks/norm_mode.h"
#include "kernels/cuda/api.h"

namespace sr {

enum class BackendKind {
  cpu,  // float32, SIMD, threads
  ref,  // plain loops in double: the specification, slow
};

// Where `BackendKind::cpu` and GPUs are the choice.
enum class DeviceKind {
  automatic,  // the first GPU, or the CPU where there is none
  cpu,
  cuda,  // a GPU or an error
};

struct BackendOptions {
  BackendKind kind = BackendKind::cpu;  // ref stays on the host whatever `device` says
  DeviceKind device = DeviceKind::cpu;
  std::vector<int> gpus;                              // indices, with DeviceKind::cuda; empty: the first one
  cuda::Precision precision = cuda::Precision::fp32;  // on GPUs
  ConvAlgorithm conv = ConvAlgorithm::winograd4;
  Size3 patch{70, 70, 70};
  int threads = 0;         // 0: as many as the process may use
  int batch = 0;           // patches in flight; 0: one per group of 8 threads, 8 on each GPU
  int64_t max_memory = 0;  // bytes, of patches in flight and threads' scratch; 0: nine tenths of the machine's memory,
                           // what is free of each GPU's
};

// Called after each patch, one call at a time; false stops the run with Error{interrupted}. done counts up to total,
// over both passes where there are two.
using Progress = std::function<bool(int done, int total)>;

struct RestoreJob {
  const PatchGrid& grid;
  const Volume& input;
  Intensity intensity;
  Pad pad = Pad::zero;
  BatchNorm batch_norm = BatchNorm::patch;
  Progress progress;  // may be empty
};

// What one kind of layer takes on a GPU, all layers of that kind of a forward pass together.
struct LayerTime {
  std::string what;  // "3x3x3 48 -> 12, norm, ELU"
  int count;
  double ms;             // of one patch
  double multiply_adds;  // of one patch
  double bytes;          // of features read and written once, of one patch
};

// Yardsticks measured on the device itself.
struct DeviceLimits {
  double gflops;        // float32 multiply-adds on CUDA cores, one counts 2
  double gbytes_per_s;  // read plus written
};

class Backend {
 public:
  virtual ~Backend() = default;
  // output has the input's size; every voxel is written. It does not depend on threads or batch, to the last bit.
  virtual void restore(const RestoreJob& job, Volume& output) = 0;
  virtual std::string describe() const = 0;  // "CPU (AVX2), 2 threads, 1 patch in flight"
  virtual int threads() const = 0;           // that have something to do: no more than patches in flight, of `ref`
  virtual int batch() const = 0;
  virtual int64_t buffer_bytes() const = 0;  // of all patches in flight, the threads' scratch included

  // For benchmarks, on GPUs: the layers one by one, outside of a graph, each the median of `repeats`, in the order of
  // the forward pass; and the limits. The host has neither.
  virtual std::vector<LayerTime> time_layers(int /*repeats*/) { return {}; }
  virtual std::optional<DeviceLimits> limits() { return {}; }

  std::string why_not_gpu;  // with DeviceKind::automatic, where the CPU took over: a clause that says why
};

// The network must outlive the backend. Throws Error{resource_error} where one patch does not fit into the memory, or
// where a GPU is asked for that cannot be used.
std::unique_ptr<Backend> make_backend(const Network& network, const BackendOptions& options);

}  // namespace sr
