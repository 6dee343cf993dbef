// What this machine's arithmetic can do at most: the yardstick of the benchmarks.
#pragma once

namespace sr {

// Single-precision multiply-adds per second, in GFLOP/s (a multiply-add counts 2), of `n_threads` threads that do
// nothing else, in the vectors of the SIMD target in use: the best millisecond of each thread, added up. On a busy
// machine no moment belongs to all threads at once, but one to each of them. Takes about 0.1 s.
double measure_fma_peak_gflops(int n_threads);

}  // namespace sr
