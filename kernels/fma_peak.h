// What this machine's arithmetic can do at most: the yardstick of the benchmarks.
#pragma once

namespace sr {

// Single-precision multiply-adds per second, in GFLOP/s (a multiply-add counts 2), of `n_threads` threads that do
// nothing else, in the vectors of the SIMD target in use. The best of several runs; takes about 0.2 s.
double measure_fma_peak_gflops(int n_threads);

}  // namespace sr
