// What the GPU in use can do at most: the yardsticks of the benchmarks.
#pragma once

#include "kernels/cuda/types.h"

namespace sr::cuda {

// Multiply-adds of float32 on CUDA cores in GFLOP/s (one counts 2), and bytes read plus bytes written by a copy within
// device memory in GB/s: the best of several launches. Takes a few milliseconds and 1 GB.
Result measure_limits(double* gflops, double* gbytes_per_s);

}  // namespace sr::cuda
