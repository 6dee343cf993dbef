// PReLU and the sum of a residual block, voxel by voxel: a thread has one quad, and everything is read and written
// once.
#include "kernels/cuda/pointwise.h"

#include "kernels/cuda/check.h"
#include "kernels/cuda/epilogue.cuh"

namespace sr::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kSummedVoxels = 16;  // of a thread that adds up

// A thread's quad: of channels first .. first + 3, counted from the first of the operation's.
struct Place {
  int patch, first;
  int64_t voxel, voxels;
};

__device__ __forceinline__ Place place_in(const FeatureMaps& maps) {
  return {static_cast<int>(blockIdx.z), 4 * static_cast<int>(blockIdx.y), int64_t{blockIdx.x} * kThreads + threadIdx.x,
          int64_t{maps.size.d} * maps.size.h * maps.size.w};
}

template <class T>
__device__ __forceinline__ StoredQuad<T>* quad_at(const FeatureMaps& maps, int channel, const Place& at) {
  return quads_of<T>(maps, channel + at.first, at.patch) + at.voxel;
}

// grid: (runs of voxels, quads of channels, patches), of both
template <class T>
__global__ void __launch_bounds__(kThreads) prelu_kernel(FeatureMaps maps, int x, const float* slope, int y) {
  const Place at = place_in(maps);
  if (at.voxel >= at.voxels) return;
  Quad q = load_quad(quad_at<T>(maps, x, at));
#pragma unroll
  for (int i = 0; i < 4; i++) q.c[i] = prelu(q.c[i], slope[at.first + i]);
  store_quad(quad_at<T>(maps, y, at), q.c);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    norm_add_kernel(FeatureMaps maps, int x, DevicePrologue norm, int skip, int y) {
  const Place at = place_in(maps);
  if (at.voxel >= at.voxels) return;
  const Quad q = load_quad(quad_at<T>(maps, x, at));
  Quad sum = load_quad(quad_at<T>(maps, skip, at));
  const Activation affine = activation_of(norm, at.patch, at.first);
#pragma unroll
  for (int i = 0; i < 4; i++) sum.c[i] += fmaf(affine.scale[i], q.c[i], affine.shift[i]);
  store_quad(quad_at<T>(maps, y, at), sum.c);
}

// f(place) for each voxel of a thread that adds up. grid: (parts, quads of channels, patches)
template <class F>
__device__ __forceinline__ void for_summed_voxels(const FeatureMaps& maps, F f) {
  Place at = place_in(maps);
  at.voxel = int64_t{blockIdx.x} * kThreads * kSummedVoxels + threadIdx.x;
  for (int i = 0; i < kSummedVoxels && at.voxel < at.voxels; i++, at.voxel += kThreads) f(at);
}

__global__ void __launch_bounds__(kThreads)
    prelu_backward_kernel(FeatureMaps f, FeatureMaps g, Channels x, const float* slope, int y, bool accumulate,
                          float* partial_slopes) {
  SR_SHARED(float, scratch, [kThreads / 32 * 4]);
  float sum[4] = {};
  for_summed_voxels(f, [&](const Place& at) {
    const Quad value = load_quad(quad_at<float>(f, x.first, at)), dy = load_quad(quad_at<float>(g, y, at));
    Quad dx = {};
    if (accumulate) dx = load_quad(quad_at<float>(g, x.first, at));
#pragma unroll
    for (int i = 0; i < 4; i++) {
      dx.c[i] += value.c[i] < 0.0f ? slope[at.first + i] * dy.c[i] : dy.c[i];
      sum[i] = fmaf(dy.c[i], fminf(value.c[i], 0.0f), sum[i]);
    }
    store_quad(quad_at<float>(g, x.first, at), dx.c);
  });
  const Place at = place_in(f);
  block_sums<4>(sum, scratch, static_cast<int>(threadIdx.x), kThreads);
  if (threadIdx.x == 0) store_slopes<4>(sum, partial_slopes, at.patch, x.count, at.first);
}

__global__ void __launch_bounds__(kThreads)
    norm_add_backward_kernel(FeatureMaps f, FeatureMaps g, Channels x, const float* scale, int skip, int y,
                             bool accumulate, float* partial_sums) {
  SR_SHARED(float, scratch, [kThreads / 32 * 8]);
  float sum[4] = {}, sum_times_x[4] = {};
  for_summed_voxels(f, [&](const Place& at) {
    const Quad value = load_quad(quad_at<float>(f, x.first, at)), dy = load_quad(quad_at<float>(g, y, at));
    Quad dskip = {}, dx;
    if (accumulate) dskip = load_quad(quad_at<float>(g, skip, at));
#pragma unroll
    for (int i = 0; i < 4; i++) {
      dskip.c[i] += dy.c[i];
      dx.c[i] = scale[at.first + i] * dy.c[i];
      sum[i] += dy.c[i];
      sum_times_x[i] = fmaf(dy.c[i], value.c[i], sum_times_x[i]);
    }
    store_quad(quad_at<float>(g, skip, at), dskip.c);
    store_quad(quad_at<float>(g, x.first, at), dx.c);
  });
  const Place at = place_in(f);
  block_sums<4>(sum, sum_times_x, scratch, static_cast<int>(threadIdx.x), kThreads);
  if (threadIdx.x == 0)
    store_sums<4>(sum, sum_times_x, partial_sums, at.patch, x.count, at.first, static_cast<int>(blockIdx.x),
                  static_cast<int>(gridDim.x));
}

dim3 grid_of(int n_blocks, const FeatureMaps& maps, Channels x) {
  return dim3(static_cast<unsigned>(n_blocks), static_cast<unsigned>(x.count / 4),
              static_cast<unsigned>(maps.n_patches));
}
dim3 grid_of(const FeatureMaps& maps, Channels x) {
  return grid_of(static_cast<int>((maps.size.voxels() + kThreads - 1) / kThreads), maps, x);
}
dim3 summing_grid_of(const FeatureMaps& maps, Channels x) {
  return grid_of(pointwise_parts(maps.size), maps, x);
}

}  // namespace

Result prelu(Precision precision, const FeatureMaps& maps, Channels x, const float* slope, Channels y, Stream stream) {
  with_storage(precision, [&](auto zero) {
    SR_LAUNCH(prelu_kernel<decltype(zero)>, grid_of(maps, x), dim3(kThreads), 0, stream, maps, x.first, slope, y.first);
  });
  return launched("PReLU");
}

Result norm_add(Precision precision, const FeatureMaps& maps, Channels x, const DevicePrologue& norm, Channels skip,
                Channels y, Stream stream) {
  with_storage(precision, [&](auto zero) {
    SR_LAUNCH(norm_add_kernel<decltype(zero)>, grid_of(maps, x), dim3(kThreads), 0, stream, maps, x.first, norm,
              skip.first, y.first);
  });
  return launched("adding normalised features");
}

int pointwise_parts(Size3 patch) {
  constexpr int64_t part = int64_t{kThreads} * kSummedVoxels;
  return static_cast<int>((patch.voxels() + part - 1) / part);
}

Result prelu_backward(const FeatureMaps& f, const FeatureMaps& g, Channels x, const float* slope, Channels y,
                      bool accumulate, float* partial_slopes, Stream stream) {
  SR_LAUNCH(prelu_backward_kernel, summing_grid_of(f, x), dim3(kThreads), 0, stream, f, g, x, slope, y.first,
            accumulate, partial_slopes);
  return launched("a step of training");
}

Result norm_add_backward(const FeatureMaps& f, const FeatureMaps& g, Channels x, const float* scale, Channels skip,
                         Channels y, bool accumulate, float* partial_sums, Stream stream) {
  SR_LAUNCH(norm_add_backward_kernel, summing_grid_of(f, x), dim3(kThreads), 0, stream, f, g, x, scale, skip.first,
            y.first, accumulate, partial_sums);
  return launched("a step of training");
}

}  // namespace sr::cuda
