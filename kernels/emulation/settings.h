// What tests choose about the emulated device. Read at every launch or runtime call, so a test may change it between
// two launches. Some defaults come from the environment, so that a whole test program runs under another order:
//
//   SR_EMULATION_ORDER=forward|reverse|random[:SEED]   SR_EMULATION_THREADS=2   SR_EMULATION_STREAMS=deferred
//   SR_EMULATION_DEVICES=2   SR_EMULATION_MEMORY=BYTES   SR_EMULATION_CUFFT=missing
//   SR_EMULATION_ALLOCATIONS=N
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace sr::emulation {

// Who goes first: the threads of a block whenever one has to wait, and the blocks of a grid.
enum class Order { forward, reverse, random };

struct Settings {
  Order order = Order::forward;
  uint64_t seed = 1;   // of Order::random; the same seed gives the same run
  int os_threads = 1;  // that share the blocks of a grid: block i of the order goes to thread i % os_threads

  // Work in a stream waits until something synchronises with it, as late as CUDA may run it. Otherwise it runs at once.
  bool deferred_streams = false;

  int device_count = 1;      // 0: cudaGetDeviceCount reports cudaErrorNoDevice
  int major = 9, minor = 0;  // compute capability: what the tensor-core instructions and shared memory limits go by
  int multiprocessors = 132;
  size_t device_memory = size_t{4} << 30;  // cudaMalloc fails beyond it
  // So many calls of cudaMalloc and cudaGraphInstantiate find memory; then it is all taken, as if by another program.
  int allocations_left = std::numeric_limits<int>::max();
  bool cufft = true;  // false: as where the library is not installed
};

Settings& settings();

// Bytes of device memory that are allocated now: 0 when nothing leaks.
size_t device_bytes_allocated();

// cuFFT plans that exist now.
size_t cufft_plans();

}  // namespace sr::emulation
