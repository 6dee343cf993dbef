// Sums of a channel and what batch-norm makes of them, in double: a patch has 343,000 voxels, and var = E[x^2] - E[x]^2
// cancels.
#include "kernels/cuda_portability.h"
#include "kernels/statistics_cuda.h"

namespace sr::cuda {
namespace {

constexpr int kThreads = 128;

// One warp per (patch, channel): lane l adds the parts l, l + 32, ..., then the lanes are added in a tree. The order
// depends on the number of parts only, so the result does not change from run to run.
__global__ void __launch_bounds__(kThreads) add_parts_kernel(const float* partial_sums, int n_channels, int co,
                                                             int n_parts, ChannelSums* sums, int64_t sums_stride) {
  const int warp = static_cast<int>((blockIdx.x * blockDim.x + threadIdx.x) / 32);
  const int lane = static_cast<int>(threadIdx.x & 31);
  if (warp >= n_channels) return;  // a warp leaves as a whole
  const float* parts = partial_sums + int64_t{warp} * n_parts * 2;
  double sum = 0, squares = 0;
  for (int part = lane; part < n_parts; part += 32) {
    sum += double{parts[2 * part]};
    squares += double{parts[2 * part + 1]};
  }
#pragma unroll
  for (int step = 16; step > 0; step /= 2) {
    sum += __shfl_xor_sync(0xffffffffu, sum, step);
    squares += __shfl_xor_sync(0xffffffffu, squares, step);
  }
  if (lane == 0) {
    ChannelSums* out = sums + int64_t{warp / co} * sums_stride + warp % co;
    out->sum = sum;
    out->sum_of_squares = squares;
  }
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
            static_cast<cudaStream_t>(stream), partial_sums, n_channels, co, n_parts, sums, sums_stride);
}

void norm_affine(const ChannelSums* sums, int64_t sums_stride, int n_patches, int n_channels, double n_voxels,
                 double eps, const float* gamma, const float* beta, float* scale, float* shift, int64_t affine_stride,
                 Stream stream) {
  const dim3 grid(static_cast<unsigned>((n_channels + kThreads - 1) / kThreads), static_cast<unsigned>(n_patches));
  SR_LAUNCH(norm_affine_kernel, grid, dim3(kThreads), 0, static_cast<cudaStream_t>(stream), sums, sums_stride,
            n_channels, n_voxels, eps, gamma, beta, scale, shift, affine_stride);
}

}  // namespace sr::cuda
