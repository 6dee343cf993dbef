// PReLU and the sum of a residual block, voxel by voxel: a thread has one quad, and everything is read and written
// once.
#include "kernels/pointwise_cuda.h"

#include "kernels/cuda_portability.h"
#include "kernels/quads_cuda.cuh"

namespace sr::cuda {
namespace {

constexpr int kThreads = 256;

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

dim3 grid_of(const FeatureMaps& maps, Channels x) {
  return dim3(static_cast<unsigned>((maps.size.voxels() + kThreads - 1) / kThreads), static_cast<unsigned>(x.count / 4),
              static_cast<unsigned>(maps.n_patches));
}

}  // namespace

void prelu(Precision precision, const FeatureMaps& maps, Channels x, const float* slope, Channels y, Stream stream) {
  with_storage(precision, [&](auto zero) {
    SR_LAUNCH(prelu_kernel<decltype(zero)>, grid_of(maps, x), dim3(kThreads), 0, static_cast<cudaStream_t>(stream),
              maps, x.first, slope, y.first);
  });
}

void norm_add(Precision precision, const FeatureMaps& maps, Channels x, const DevicePrologue& norm, Channels skip,
              Channels y, Stream stream) {
  with_storage(precision, [&](auto zero) {
    SR_LAUNCH(norm_add_kernel<decltype(zero)>, grid_of(maps, x), dim3(kThreads), 0, static_cast<cudaStream_t>(stream),
              maps, x.first, norm, skip.first, y.first);
  });
}

}  // namespace sr::cuda
