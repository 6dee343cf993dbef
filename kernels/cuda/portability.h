// What kernel sources (*.cu) include: CUDA under nvcc, and elsewhere an emulation under which the same source is plain
// C++ that runs on the CPU (kernels/emulation/), so that every kernel is tested without a GPU and under the sanitizers.
//
//   SR_SHARED(float, tile, [8][100]);      static shared memory, aligned to 16 bytes; SR_SHARED(int, n, ) for a scalar
//   SR_DYN_SHARED(__half, rows);           the launch's dynamic shared memory as __half* rows, aligned to 128 bytes
//   SR_LAUNCH((conv<12, 8>), dim3(4, 4), dim3(128), shared_bytes, stream, x, y);
//                                          parentheses around a kernel whose name has commas
//
// For the emulation, kernels keep to this: no other inline PTX than kernels/cuda/ptx.h, no __CUDA_ARCH__ in kernels
// (variants are template parameters), warp masks explicit, blocks of a multiple of 32 threads, no cooperative groups.
#pragma once

#if defined(__CUDACC__) || defined(__CUDA__)  // nvcc, or clang compiling CUDA

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define SR_SHARED(T, name, dims) __shared__ __align__(16) T name dims
#define SR_DYN_SHARED(T, name)                                               \
  extern __shared__ __align__(128) unsigned char sr_dynamic_shared_memory[]; \
  T* const name = reinterpret_cast<T*>(sr_dynamic_shared_memory)
#define SR_LAUNCH(kernel, grid, block, shared_bytes, stream, ...) \
  kernel<<<(grid), (block), (shared_bytes), (stream)>>>(__VA_ARGS__)

#else

#include "kernels/emulation/cuda_emulation.h"

#define SR_SHARED(T, name, dims)     \
  using name##_shared_type = T dims; \
  static char name##_shared_key;     \
  name##_shared_type& name = ::sr::emulation::shared_variable<name##_shared_type>(&name##_shared_key, #name)
#define SR_DYN_SHARED(T, name) T* const name = static_cast<T*>(::sr::emulation::dynamic_shared_memory())
#define SR_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                           \
  ::sr::emulation::launch(#kernel, ::sr::emulation::CallSite::current(), kernel, grid, block, shared_bytes, \
                          stream __VA_OPT__(, ) __VA_ARGS__)

#endif
