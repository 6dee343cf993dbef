// The first layer: 3x3x3 convolution of an image (one channel, float32) to 2k channels, no norm, no activation.
//
//   y[co](v) = bias[co] + sum over tap of weight[co][tap] * x(v + tap)
//
// 27 multiply-adds to every value written: bound by the writing. A thread makes all CO channels of one voxel; a block
// is 32 x 4 voxels of a plane, whose 34 x 6 x 3 neighbourhood lies in shared memory. Backward, it brings the gradient
// of an image to the channels that "-r" made the image of (kernels/cuda/epilogue.cuh).
#include "kernels/cuda/check.h"
#include "kernels/cuda/conv3d_kernels.h"
#include "kernels/cuda/epilogue.cuh"

namespace sr::cuda {
namespace {

constexpr int kTileX = 32, kTileY = 4, kThreads = kTileX * kTileY;
constexpr int kHaloX = kTileX + 2, kHaloY = kTileY + 2;

int blocks_of(Size3 s) {
  return tiles(s.w, kTileX) * tiles(s.h, kTileY) * s.d;
}

// Output channels of a thread: the largest that divides co and leaves enough registers.
int group_of(int co) {
  for (const int group : {24, 16, 8})
    if (co % group == 0) return group;
  return 4;
}

// Weights: [co / CO][27][CO]. grid: (tiles of the patch, co / CO, patches)
template <class T, int CO, bool kBackward>
__global__ void __launch_bounds__(kThreads) conv3x3x3_stem(ImageArguments a) {
  SR_SHARED(float, tile, [3 * kHaloY * kHaloX]);
  SR_SHARED(float, weights, [27 * CO]);
  SR_SHARED(float, sums_scratch, [kThreads / 32 * CO * 2]);

  const int thread = static_cast<int>(threadIdx.x), tx = thread % kTileX, ty = thread / kTileX;
  const Size3 size = a.y.size;
  const int64_t voxels = int64_t{size.d} * size.h * size.w;
  const int patch = static_cast<int>(blockIdx.z), group = static_cast<int>(blockIdx.y);
  const int part = static_cast<int>(blockIdx.x);
  const int nx = (size.w + kTileX - 1) / kTileX, ny = (size.h + kTileY - 1) / kTileY;
  const int x0 = part % nx * kTileX, y0 = part / nx % ny * kTileY, z0 = part / (nx * ny);

  const float* image = a.image + patch * voxels;
  for (int i = thread; i < 3 * kHaloY * kHaloX; i += kThreads) {
    const int x = x0 + i % kHaloX - 1, y = y0 + i / kHaloX % kHaloY - 1, z = z0 + i / (kHaloX * kHaloY) - 1;
    const bool inside = x >= 0 && x < size.w && y >= 0 && y < size.h && z >= 0 && z < size.d;
    tile[i] = inside ? image[(int64_t{z} * size.h + y) * size.w + x] : 0.0f;
  }
  for (int i = thread; i < 27 * CO; i += kThreads) weights[i] = a.weights[group * 27 * CO + i];
  __syncthreads();

  float acc[CO];
#pragma unroll
  for (int c = 0; c < CO; c++) acc[c] = a.bias ? a.bias[group * CO + c] : 0.0f;
  for (int kz = 0; kz < 3; kz++)
#pragma unroll
    for (int ky = 0; ky < 3; ky++)
#pragma unroll
      for (int kx = 0; kx < 3; kx++) {
        const float in = tile[(kz * kHaloY + ty + ky) * kHaloX + tx + kx];
        const float* w = weights + ((kz * 3 + ky) * 3 + kx) * CO;
#pragma unroll
        for (int c = 0; c < CO; c++) acc[c] = fmaf(w[c], in, acc[c]);
      }

  const int vx = x0 + tx, vy = y0 + ty;
  const auto each = [&](auto f) {
    if (vx < size.w && vy < size.h) f((int64_t{z0} * size.h + vy) * size.w + vx, acc);
  };
  finish<T, CO, kBackward>({a.y, a.y_first, nullptr, a.target, patch, group * CO, a.co, a.partial_sums}, sums_scratch,
                           thread, kThreads, each);
}

template <class T, int CO, bool kBackward = false>
void launch(const ImageArguments& a, Stream stream) {
  const dim3 grid(static_cast<unsigned>(blocks_of(a.y.size)), static_cast<unsigned>(a.co / CO),
                  static_cast<unsigned>(a.y.n_patches));
  SR_LAUNCH((conv3x3x3_stem<T, CO, kBackward>), grid, dim3(kThreads), 0, stream, a);
}

}  // namespace

int conv3x3x3_stem_parts(Size3 patch) {
  return blocks_of(patch);
}

void conv3x3x3_stem_pack(const ConvWeights& conv, float* packed) {
  const int group = group_of(conv.co);
  for (int co = 0; co < conv.co; co++)
    for (int tap = 0; tap < 27; tap++)
      packed[(co / group * 27 + tap) * group + co % group] = conv.weight[co * 27 + tap];
}

Result conv3x3x3_stem_forward(const Conv3dForward& f, Stream stream) {
  const ImageArguments a = image_arguments_of(f);
  with_storage(f.precision, [&](auto zero) {
    using T = decltype(zero);
    with_constant<4, 8, 16, 24>(group_of(a.co), [&](auto group) { launch<T, group()>(a, stream); });
  });
  return launched("convolution");
}

Result conv3x3x3_stem_backward(const Conv3dBackwardData& b, Stream stream) {
  const ImageArguments a = image_arguments_of(b);
  with_constant<4, 8, 16, 24>(group_of(a.co), [&](auto group) { launch<float, group(), true>(a, stream); });
  return launched("the gradient of a convolution");
}

}  // namespace sr::cuda
