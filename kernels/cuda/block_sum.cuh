// What the threads of a block have, added up.
#pragma once

#include "kernels/cuda/portability.h"

namespace sr::cuda {

// In a fixed order; thread 0 has the sum. scratch: THREADS / 32 numbers of shared memory, free again on return.
template <int THREADS, class T>
__device__ __forceinline__ T block_sum(T value, T* scratch) {
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
  if ((thread & 31) == 0) scratch[thread >> 5] = value;
  __syncthreads();
  T sum = 0;
  if (thread == 0)
    for (int w = 0; w < THREADS / 32; w++) sum += scratch[w];
  __syncthreads();
  return sum;
}

}  // namespace sr::cuda
