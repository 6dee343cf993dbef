// Sums of a channel and what batch-norm makes of them, in double: a patch has 343,000 voxels, and var = E[x^2] - E[x]^2
// cancels.
#include "kernels/cuda/check.h"
#include "kernels/cuda/statistics.h"

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
    reduce_sums_kernel(const float* partial_sums, int n_channels, int co, int n_parts, int n_patches,
                       int64_t patch_stride, ChannelSums* sums, int64_t sums_stride) {
  const int warp = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / 32);
  if (warp >= n_channels) return;  // a warp leaves as a whole
  const ChannelSums sum = warp_sum(partial_sums + int64_t{warp} * n_parts * 2, n_parts, n_patches, patch_stride);
  if ((threadIdx.x & 31) == 0) sums[int64_t{warp / co} * sums_stride + warp % co] = sum;
}

struct Moments {
  double mean, variance;  // biased
};
__device__ __forceinline__ Moments moments_of(ChannelSums s, double n_voxels) {
  const double mean = s.sum / n_voxels;
  return {mean, fmax(s.sum_of_squares / n_voxels - mean * mean, 0.0)};
}

__device__ __forceinline__ void store_affine(const double& mean, const double& variance, double eps, const float* gamma,
                                             const float* beta, int c, float* scale, float* shift) {
  const double a = double{gamma[c]} / sqrt(variance + eps);
  scale[c] = static_cast<float>(a);
  shift[c] = static_cast<float>(double{beta[c]} - mean * a);
}

// grid: (channels, patches)
__global__ void __launch_bounds__(kThreads)
    norm_affine_kernel(const ChannelSums* sums, int64_t sums_stride, int n_channels, double n_voxels, double eps,
                       const float* gamma, const float* beta, float* scale, float* shift, int64_t affine_stride) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= n_channels) return;
  const Moments m = moments_of(sums[int64_t{blockIdx.y} * sums_stride + c], n_voxels);
  const int64_t out = int64_t{blockIdx.y} * affine_stride;  // of the patch
  store_affine(m.mean, m.variance, eps, gamma, beta, c, scale + out, shift + out);
}

__global__ void __launch_bounds__(kThreads)
    batch_moments_kernel(const ChannelSums* sums, int n_channels, double n_voxels, double* mean, double* variance) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= n_channels) return;
  const Moments m = moments_of(sums[c], n_voxels);
  mean[c] = m.mean;
  variance[c] = m.variance;
}

__global__ void __launch_bounds__(kThreads)
    moments_affine_kernel(const double* mean, const double* variance, int n_channels, double eps, const float* gamma,
                          const float* beta, float* scale, float* shift) {
  const int c = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (c >= n_channels) return;
  store_affine(mean[c], variance[c], eps, gamma, beta, c, scale, shift);
}

unsigned blocks_for(int n) {
  return static_cast<unsigned>((n + kThreads - 1) / kThreads);
}

}  // namespace

Result reduce_sums(const float* partial_sums, int n_patches, int co, int n_parts, ChannelSums* sums,
                   int64_t sums_stride, Stream stream) {
  const int n_channels = n_patches * co, warps = kThreads / 32;
  SR_LAUNCH(reduce_sums_kernel, dim3(static_cast<unsigned>((n_channels + warps - 1) / warps)), dim3(kThreads), 0,
            stream, partial_sums, n_channels, co, n_parts, 1, int64_t{0}, sums, sums_stride);
  return launched("adding channel sums");
}

Result reduce_batch_sums(const float* partial_sums, int n_patches, int co, int n_parts, ChannelSums* sums,
                         Stream stream) {
  const int warps = kThreads / 32;
  SR_LAUNCH(reduce_sums_kernel, dim3(static_cast<unsigned>((co + warps - 1) / warps)), dim3(kThreads), 0, stream,
            partial_sums, co, co, n_parts, n_patches, int64_t{co} * n_parts * 2, sums, int64_t{0});
  return launched("a step of training");
}

Result norm_affine(const ChannelSums* sums, int64_t sums_stride, int n_patches, int n_channels, double n_voxels,
                   double eps, const float* gamma, const float* beta, float* scale, float* shift, int64_t affine_stride,
                   Stream stream) {
  const dim3 grid(blocks_for(n_channels), static_cast<unsigned>(n_patches));
  SR_LAUNCH(norm_affine_kernel, grid, dim3(kThreads), 0, stream, sums, sums_stride, n_channels, n_voxels, eps, gamma,
            beta, scale, shift, affine_stride);
  return launched("batch-norm statistics");
}

Result batch_moments(const ChannelSums* sums, int n_channels, double n_voxels, double* mean, double* variance,
                     Stream stream) {
  SR_LAUNCH(batch_moments_kernel, dim3(blocks_for(n_channels)), dim3(kThreads), 0, stream, sums, n_channels, n_voxels,
            mean, variance);
  return launched("a step of training");
}

Result moments_affine(const double* mean, const double* variance, int n_channels, double eps, const float* gamma,
                      const float* beta, float* scale, float* shift, Stream stream) {
  SR_LAUNCH(moments_affine_kernel, dim3(blocks_for(n_channels)), dim3(kThreads), 0, stream, mean, variance, n_channels,
            eps, gamma, beta, scale, shift);
  return launched("a step of training");
}

}  // namespace sr::cuda
