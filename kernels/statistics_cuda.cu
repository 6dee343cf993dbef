// Sums of a channel and what batch-norm makes of them, in double: a patch has 343,000 voxels, and var = E[x^2] - E[x]^2
// cancels.
#include "kernels/cuda_portability.h"
#include "kernels/statistics_cuda.h"

namespace sr::cuda {
namespace {

constexpr int kThreads = 128;

// The sum of a channel's parts: lane l adds the parts l, l + 32, ..., of one patch after the other, then the lanes are
// added in a tree. The order depends on the number of parts only, so the result does not change from run to run.
__device__ __forceinline__ ChannelSums warp_sum(const float* parts, int n_parts, int n_patches, int64_t patch_stride) {
  const int lane = static_cast<int>(threadIdx.x & 31);
  double sum = 0, squares = 0;
  for (int patch = 0; patch < n_patches; patch++)
    for (int part = lane; part < n_parts; part += 32) {
      sum += double{parts[patch * patch_stride + 2 * part]};
      squares += double{parts[patch * patch_stride + 2 * part + 1]};
    }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    sum += __shfl_xor_sync(0xffffffffu, sum, step);
    squares += __shfl_xor_sync(0xffffffffu, squares, step);
  }
  return {sum, squares};
}

// One warp per channel of every patch, with n_patches = 1; or per channel, of n_patches patches that lie patch_stride
// apart.
__global__ void __launch_bounds__(kThreads)
    add_parts_kernel(const float* partial_sums, int n_channels, int co, int n_parts, int n_patches,
                     int64_t patch_stride, ChannelSums* sums, int64_t sums_stride) {
  const int warp = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / 32);
  if (warp >= n_channels) return;  // a warp leaves as a whole
  const ChannelSums sum = warp_sum(partial_sums + int64_t{warp} * n_parts * 2, n_parts, n_patches, patch_stride);
  if ((threadIdx.x & 31) == 0) sums[int64_t{warp / co} * sums_stride + warp % co] = sum;
}

// grid: (channels, patches)
__global__ void __launch_bounds__(kThreads)
    norm_affine_kernel(const ChannelSums* sums, int64_t sums_stride, int n_channels, double n_voxels, double eps,
                       const float* gamma, const float* beta, float* scale, float* shift, int64_t affine_stride) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= n_channels) return;
  const ChannelSums s = sums[int64_t{blockIdx.y} * sums_stride + c];
  const double mean = s.sum / n_voxels;
  const double variance = fmax(s.sum_of_squares / n_voxels - mean * mean, 0.0);
  const double a = double{gamma[c]} / sqrt(variance + eps);
  const int64_t out = int64_t{blockIdx.y} * affine_stride + c;
  scale[out] = static_cast<float>(a);
  shift[out] = static_cast<float>(double{beta[c]} - mean * a);
}

}  // namespace

void add_parts(const float* partial_sums, int n_patches, int co, int n_parts, ChannelSums* sums, int64_t sums_stride,
               Stream stream) {
  const int n_channels = n_patches * co, warps = kThreads / 32;
  SR_LAUNCH(add_parts_kernel, dim3(static_cast<unsigned>((n_channels + warps - 1) / warps)), dim3(kThreads), 0,
            static_cast<cudaStream_t>(stream), partial_sums, n_channels, co, n_parts, 1, int64_t{0}, sums, sums_stride);
}

void add_batch_parts(const float* partial_sums, int n_patches, int co, int n_parts, ChannelSums* sums, Stream stream) {
  const int warps = kThreads / 32;
  SR_LAUNCH(add_parts_kernel, dim3(static_cast<unsigned>((co + warps - 1) / warps)), dim3(kThreads), 0,
            static_cast<cudaStream_t>(stream), partial_sums, co, co, n_parts, n_patches, int64_t{co} * n_parts * 2,
            sums, int64_t{0});
}

void norm_affine(const ChannelSums* sums, int64_t sums_stride, int n_patches, int n_channels, double n_voxels,
                 double eps, const float* gamma, const float* beta, float* scale, float* shift, int64_t affine_stride,
                 Stream stream) {
  const dim3 grid(static_cast<unsigned>((n_channels + kThreads - 1) / kThreads), static_cast<unsigned>(n_patches));
  SR_LAUNCH(norm_affine_kernel, grid, dim3(kThreads), 0, static_cast<cudaStream_t>(stream), sums, sums_stride,
            n_channels, n_voxels, eps, gamma, beta, scale, shift, affine_stride);
}

}  // namespace sr::cuda
