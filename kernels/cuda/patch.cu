#include "kernels/cuda/check.h"
#include "kernels/cuda/patch.h"

namespace sr::cuda {
namespace {

constexpr int kThreads = 128;

unsigned blocks(int64_t n) {
  return static_cast<unsigned>((n + kThreads - 1) / kThreads);
}

// Index i of an axis of n voxels, mirrored at both ends without repeating the edge voxel.
__device__ __forceinline__ int reflected(int i, int n) {
  if (n == 1) return 0;
  const int period = 2 * (n - 1);
  i = ((i % period) + period) % period;
  return i < n ? i : period - i;
}

// The volume index that a patch position reads, or -1 for "nothing there".
__device__ __forceinline__ int source(int i, int n, Pad pad) {
  if (i >= 0 && i < n) return i;
  return pad == Pad::reflect ? reflected(i, n) : -1;
}

// grid: (voxels of a patch, patches); a thread per voxel. In double, as on the host: both start from the same numbers.
__global__ void __launch_bounds__(kThreads) gather_kernel(PatchTransfer t) {
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x), patch = static_cast<int>(blockIdx.y);
  const int voxels = t.patch.d * t.patch.h * t.patch.w;
  if (i >= voxels) return;
  const Origin origin = t.origins[patch];
  const int x = source(origin.x + i % t.patch.w, t.volume_size.w, t.pad);
  const int y = source(origin.y + i / t.patch.w % t.patch.h, t.volume_size.h, t.pad);
  const int z = source(origin.z + i / (t.patch.w * t.patch.h), t.volume_size.d, t.pad);
  float value = 0.0f;
  if (x >= 0 && y >= 0 && z >= 0) {
    const double v = double{t.volume[(int64_t{z} * t.volume_size.h + y) * t.volume_size.w + x]};
    value = static_cast<float>((v - t.intensity.a) * (1 / t.intensity.b));
  }
  t.image[int64_t{patch} * voxels + i] = value;
}

// As gather. Each voxel of the volume comes from one patch only, so no two threads write to the same place.
__global__ void __launch_bounds__(kThreads) merge_kernel(PatchTransfer t) {
  const int i = static_cast<int>(blockIdx.x * kThreads + threadIdx.x), patch = static_cast<int>(blockIdx.y);
  const int voxels = t.patch.d * t.patch.h * t.patch.w;
  if (i >= voxels) return;
  const int px = i % t.patch.w, py = i / t.patch.w % t.patch.h, pz = i / (t.patch.w * t.patch.h);
  if (px < t.margin || py < t.margin || pz < t.margin || px >= t.patch.w - t.margin || py >= t.patch.h - t.margin ||
      pz >= t.patch.d - t.margin)
    return;
  const Origin origin = t.origins[patch];
  const int x = origin.x + px, y = origin.y + py, z = origin.z + pz;
  if (x < 0 || y < 0 || z < 0 || x >= t.volume_size.w || y >= t.volume_size.h || z >= t.volume_size.d) return;
  const double v = double{t.image[int64_t{patch} * voxels + i]};
  t.volume[(int64_t{z} * t.volume_size.h + y) * t.volume_size.w + x] =
      static_cast<float>(v * t.intensity.b + t.intensity.a);
}

__global__ void __launch_bounds__(kThreads) add_kernel(const float* x, float* y, int64_t n) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < n) y[i] += x[i];
}

}  // namespace

Result gather_patches(const PatchTransfer& t, Stream stream) {
  SR_LAUNCH(gather_kernel, dim3(blocks(t.patch.voxels()), static_cast<unsigned>(t.n_patches)), dim3(kThreads), 0,
            stream, t);
  return launched("gathering patches");
}

Result merge_patches(const PatchTransfer& t, Stream stream) {
  SR_LAUNCH(merge_kernel, dim3(blocks(t.patch.voxels()), static_cast<unsigned>(t.n_patches)), dim3(kThreads), 0, stream,
            t);
  return launched("merging patches");
}

Result add_images(const float* x, float* y, int64_t n, Stream stream) {
  SR_LAUNCH(add_kernel, dim3(blocks(n)), dim3(kThreads), 0, stream, x, y, n);
  return launched("adding images");
}

}  // namespace sr::cuda
