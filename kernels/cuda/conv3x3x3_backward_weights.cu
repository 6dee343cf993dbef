// The gradient of 3x3x3 weights on CUDA cores:
//
//   dweight[co][ci][tap] = sum over patches, v of dy[co](v) a[ci](v + tap),   a = x or act(scale x + shift)
//
// A block gathers 4 input channels x 27 taps x CO outputs over its share of the batch, tile by tile (20 x 4 x 4
// voxels), in registers: a thread has one channel, one (kz, ky) and all kx, 3 CO sums, for every eighth row of the
// tile. Along a row the three x taps are a window that slides, so that one value and CO gradients are read, the latter
// by whole groups of threads at once (broadcast), for 3 CO multiply-adds. Eight groups of rows are added up at the end
// in their order.
//
// Shares are cut from the batch's tiles, whatever the GPU: sums are always taken in one order.
#include "kernels/cuda/backward_weights.cuh"
#include "kernels/cuda/check.h"
#include "kernels/cuda/conv3d_kernels.h"

namespace sr::cuda {
namespace {

constexpr int kTileX = 20, kTileY = 4, kTileZ = 4, kRows = kTileY * kTileZ;
constexpr int kHaloX = kTileX + 2, kHaloY = kTileY + 2, kHaloZ = kTileZ + 2;
constexpr int kPlane = kHaloY * kHaloX, kChannel = kHaloZ * kPlane;
constexpr int kGroups = 8;                 // of rows
constexpr int kThreads = kGroups * 4 * 9;  // [group][channel][kz][ky]
static_assert(kThreads % 32 == 0 && kRows % kGroups == 0);

int tiles_of(Size3 s) {
  return tiles(s.w, kTileX) * tiles(s.h, kTileY) * tiles(s.d, kTileZ);
}

int group_of(int co) {
  if (co == 1) return 1;
  for (const int group : {12, 16, 8})
    if (co % group == 0) return group;
  return 4;
}

// A quad of activated input channels of a tile with its halo, zero outside the patch.
__device__ __forceinline__ void load_inputs(float* tile, const GradientArguments& a, int patch, int ci, int3 origin,
                                            int thread) {
  const Size3 size = a.size;
  const int64_t voxels = int64_t{size.d} * size.h * size.w;
  const Activation activation = activation_of(a.prologue, patch, ci);
  for (int i = thread; i < kChannel; i += kThreads) {
    const int vx = origin.x + i % kHaloX - 1, vy = origin.y + i / kHaloX % kHaloY - 1, vz = origin.z + i / kPlane - 1;
    Quad q = {};
    if (vx >= 0 && vx < size.w && vy >= 0 && vy < size.h && vz >= 0 && vz < size.d) {
      const int64_t voxel = (int64_t{vz} * size.h + vy) * size.w + vx;
      if (a.x_image) {
        q.c[0] = a.x_image[patch * voxels + voxel];
      } else {
        q = activate(load_quad(quads_of<float>(a.x, a.x_first + ci, patch) + voxel), activation);
      }
    }
#pragma unroll
    for (int c = 0; c < 4; c++) tile[c * kChannel + i] = q.c[c];
  }
}

// CO gradients of every voxel of a tile, [row][x][CO], zero outside the patch.
template <int CO>
__device__ __forceinline__ void load_gradients(float* tile, const GradientArguments& a, int patch, int co, int3 origin,
                                               int thread) {
  const Size3 size = a.size;
  const int64_t voxels = int64_t{size.d} * size.h * size.w;
  for (int i = thread; i < kRows * kTileX; i += kThreads) {
    const int vx = origin.x + i % kTileX, vy = origin.y + i / kTileX % kTileY, vz = origin.z + i / (kTileX * kTileY);
    const bool inside = vx < size.w && vy < size.h && vz < size.d;
    const int64_t voxel = (int64_t{vz} * size.h + vy) * size.w + vx;
    if constexpr (CO == 1) {
      tile[i] = inside ? a.dy_image[patch * voxels + voxel] : 0.0f;
    } else {
      const StoredQuad<float>* dy = quads_of<float>(a.dy, a.dy_first + co, patch);
#pragma unroll
      for (int c = 0; c < CO; c += 4) {
        Quad q = {};
        if (inside) q = load_quad(dy + c / 4 * voxels + voxel);
        store_quad(reinterpret_cast<StoredQuad<float>*>(tile + i * CO + c), q.c);
      }
    }
  }
}

// grid: (shares of the batch, quads of input channels, co / CO)
template <int CO>
__global__ void __launch_bounds__(kThreads) conv3x3x3_gradient(GradientArguments a) {
  SR_SHARED(float, inputs, [4 * kChannel]);
  SR_SHARED(float, gradients, [kRows * kTileX * CO]);
  SR_SHARED(float, exchange, [kThreads * 3]);

  const int thread = static_cast<int>(threadIdx.x);
  const int group = thread / 36, channel = thread % 36 / 9, kz = thread % 9 / 3, ky = thread % 3;
  const int ci = static_cast<int>(blockIdx.y) * 4, co = static_cast<int>(blockIdx.z) * CO;
  const int nx = (a.size.w + kTileX - 1) / kTileX, ny = (a.size.h + kTileY - 1) / kTileY;
  const int per_patch = nx * ny * ((a.size.d + kTileZ - 1) / kTileZ), all = per_patch * a.n_patches;
  const Share share = share_of_block(all);

  float acc[3][CO] = {};
  for (int t = share.first; t < share.last; t++) {
    const int patch = t / per_patch, tile = t % per_patch;
    const int3 origin = make_int3(tile % nx * kTileX, tile / nx % ny * kTileY, tile / (nx * ny) * kTileZ);
    load_inputs(inputs, a, patch, ci, origin, thread);
    load_gradients<CO>(gradients, a, patch, co, origin, thread);
    __syncthreads();
    for (int row = group; row < kRows; row += kGroups) {
      const float* in = inputs + channel * kChannel + (row / kTileY + kz) * kPlane + (row % kTileY + ky) * kHaloX;
      const float* dy = gradients + row * kTileX * CO;
      float left = in[0], middle = in[1];
#pragma unroll 4
      for (int x = 0; x < kTileX; x++) {
        const float right = in[x + 2];
#pragma unroll
        for (int c = 0; c < CO; c++) {
          const float d = dy[x * CO + c];
          acc[0][c] = fmaf(d, left, acc[0][c]);
          acc[1][c] = fmaf(d, middle, acc[1][c]);
          acc[2][c] = fmaf(d, right, acc[2][c]);
        }
        left = middle;
        middle = right;
      }
    }
    __syncthreads();  // before the next tile replaces this one
  }

#pragma unroll
  for (int c = 0; c < CO; c++) {
#pragma unroll
    for (int kx = 0; kx < 3; kx++) exchange[thread * 3 + kx] = acc[kx][c];
    __syncthreads();
    if (group == 0 && ci + channel < a.ci) {
      float* to = a.partial + ((int64_t{share.index} * a.co + co + c) * a.ci + ci + channel) * 27 + (kz * 3 + ky) * 3;
      for (int kx = 0; kx < 3; kx++) {
        float sum = 0;
        for (int g = 0; g < kGroups; g++) sum += exchange[(g * 36 + thread) * 3 + kx];
        to[kx] = sum;
      }
    }
    __syncthreads();
  }
}

template <int CO>
void launch(const GradientArguments& a, Stream stream) {
  const dim3 grid(static_cast<unsigned>(conv3x3x3_gradient_parts(a.size, a.n_patches)),
                  static_cast<unsigned>(tiles(a.ci, 4)), static_cast<unsigned>(a.co / CO));
  SR_LAUNCH(conv3x3x3_gradient<CO>, grid, dim3(kThreads), 0, stream, a);
}

}  // namespace

int conv3x3x3_gradient_parts(Size3 patch, int n_patches) {
  return shares_of(tiles_of(patch) * n_patches);
}

Result conv3x3x3_gradient(const Conv3dBackwardWeights& b, Stream stream) {
  const GradientArguments a = arguments_of(b);
  with_constant<1, 4, 8, 12, 16>(group_of(b.shape.co), [&](auto group) { launch<group()>(a, stream); });
  return launched("the gradient of weights");
}

}  // namespace sr::cuda
