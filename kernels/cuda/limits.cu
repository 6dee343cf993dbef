#include "kernels/cuda/limits.h"

#include <algorithm>

#include "kernels/cuda/check.h"

namespace sr::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kChains = 8;  // independent multiply-adds: more than their latency times the issue rate
constexpr int kRepeats = 10;
constexpr size_t kCopyBytes = size_t{256} << 20;  // several times the largest L2

__global__ void __launch_bounds__(kThreads) fma_loop(float* out, float factor, int n_steps) {
  float chain[kChains];
#pragma unroll
  for (int i = 0; i < kChains; i++) chain[i] = static_cast<float>(threadIdx.x + static_cast<unsigned>(i));
#pragma unroll 4
  for (int step = 0; step < n_steps; step++)
#pragma unroll
    for (int i = 0; i < kChains; i++) chain[i] = fmaf(chain[i], factor, factor);
  float sum = 0;
#pragma unroll
  for (int i = 0; i < kChains; i++) sum += chain[i];
  out[blockIdx.x * kThreads + threadIdx.x] = sum;  // or the compiler would drop the loop
}

// The shortest of several runs, in seconds; below 0 where something failed.
template <class F>
double best_seconds(F run) {
  cudaEvent_t start = nullptr, stop = nullptr;
  float best = -1;
  if (cudaEventCreate(&start) == cudaSuccess && cudaEventCreate(&stop) == cudaSuccess)
    for (int i = 0; i < kRepeats; i++) {
      float ms = 0;
      cudaEventRecord(start, nullptr);
      run();
      cudaEventRecord(stop, nullptr);
      if (cudaEventSynchronize(stop) != cudaSuccess || cudaEventElapsedTime(&ms, start, stop) != cudaSuccess) break;
      if (i > 0) best = best < 0 ? ms : std::min(best, ms);  // the first run also loads the code
    }
  if (start) cudaEventDestroy(start);
  if (stop) cudaEventDestroy(stop);
  return best * 1e-3;
}

Result measure(double* gflops, double* gbytes_per_s) {
  *gflops = *gbytes_per_s = 0;
  int device = 0;
  cudaDeviceProp properties;
  if (cudaGetDevice(&device) != cudaSuccess || cudaGetDeviceProperties(&properties, device) != cudaSuccess)
    return Result::failed;
  const int blocks = 8 * properties.multiProcessorCount;
  char *from = nullptr, *to = nullptr;
  if (cudaMalloc(&from, kCopyBytes) != cudaSuccess || cudaMalloc(&to, kCopyBytes) != cudaSuccess) {
    cudaFree(from);
    return Result::out_of_memory;
  }
  cudaMemset(from, 1, kCopyBytes);
  float* sums = reinterpret_cast<float*>(to);
  // As many steps as make a launch of its own cost small.
  int n_steps = 16;
  double fma_seconds = 0;
  for (;; n_steps *= 4) {
    fma_seconds = best_seconds([&] {
      SR_LAUNCH(fma_loop, dim3(static_cast<unsigned>(blocks)), dim3(kThreads), 0, nullptr, sums, 0.5f, n_steps);
    });
    if (fma_seconds <= 0 || fma_seconds > 2e-3 || n_steps > (1 << 20)) break;
  }
  const double copy_seconds =
      best_seconds([&] { cudaMemcpyAsync(to, from, kCopyBytes, cudaMemcpyDeviceToDevice, nullptr); });
  cudaFree(from);
  cudaFree(to);
  if (fma_seconds <= 0 || copy_seconds <= 0) return Result::failed;
  *gflops = 2e-9 * kChains * n_steps * kThreads * static_cast<double>(blocks) / fma_seconds;
  *gbytes_per_s = 2e-9 * static_cast<double>(kCopyBytes) / copy_seconds;
  return Result::ok;
}

}  // namespace

Result measure_limits(double* gflops, double* gbytes_per_s) {
  const Result r = measure(gflops, gbytes_per_s);
  if (r != Result::ok) fail("measuring the GPU", cudaGetErrorString(cudaGetLastError()));
  return r;
}

}  // namespace sr::cuda
