// The gradient of 5x5x5 and 9x9x9 weights on CUDA cores. One side of the convolution is an image e, one channel, the
// other has channels c: the gradients dy of those out, or the activated inputs a of those in. Padding is zero on either
// side, so that both are one sum:
//
//   from an image   dweight[co][tap] = sum over patches, v of dy[co](v) x(v + tap)
//   to an image     dweight[ci][tap] = sum over patches, v of dy(v) a[ci](v + tap) = sum over u of a[ci](u) dy(u - tap)
//
// A block gathers CO channels x the taps of one kz over its share of the batch, tile by tile (24 x 8 x 4 voxels), in
// registers: a thread has one ky and all kx, kSize CO sums, of one row of the tile. It takes 8 voxels at a time: 16
// values of the image by four 16-byte reads, and 8 voxels' channels by 16 that the threads of all ky share, to 576
// multiply-adds. The 32 rows are added up at the end in their order.
//
// Shares are cut from the batch's tiles, whatever the GPU: sums are always taken in one order.
#include "kernels/cuda/backward_weights.cuh"
#include "kernels/cuda/check.h"
#include "kernels/cuda/conv3d_kernels.h"

namespace sr::cuda {
namespace {

constexpr int kTileX = 24, kTileY = 8, kTileZ = 4, kRows = kTileY * kTileZ;
constexpr int kVoxels = 8;  // along x, of a thread at a time
static_assert(kRows == 32);

template <int kSize>
constexpr int threads_of = kRows* kSize;  // [row][ky]

int tiles_of(Size3 s) {
  return tiles(s.w, kTileX) * tiles(s.h, kTileY) * tiles(s.d, kTileZ);
}

int group_of(int n_channels) {
  return n_channels % 8 == 0 ? 8 : 4;
}

struct Arguments {
  const float* image;
  FeatureMaps maps;  // of the channels
  int first, n_channels;
  DevicePrologue prologue;  // of the channels
  bool mirrored;            // taps count the other way
  Size3 size;
  int n_patches;
  float* partial;  // [share][channel][tap]
};

// CO channels of every voxel of a tile, activated, [row][x][CO], zero outside the patch.
template <int CO, int kPitch, int kThreads>
__device__ __forceinline__ void load_channels(float* tile, const Arguments& a, int patch, int first, int3 origin,
                                              int thread) {
  const int64_t voxels = int64_t{a.size.d} * a.size.h * a.size.w;
  for (int i = thread; i < kRows * kTileX; i += kThreads) {
    const int x = i % kTileX, row = i / kTileX;
    const int vx = origin.x + x, vy = origin.y + row % kTileY, vz = origin.z + row / kTileY;
    const bool inside = vx < a.size.w && vy < a.size.h && vz < a.size.d;
    const StoredQuad<float>* from =
        quads_of<float>(a.maps, a.first + first, patch) + (int64_t{vz} * a.size.h + vy) * a.size.w + vx;
#pragma unroll
    for (int c = 0; c < CO; c += 4) {
      Quad q = {};
      if (inside) q = activate(load_quad(from + c / 4 * voxels), activation_of(a.prologue, patch, first + c));
      store_quad(reinterpret_cast<StoredQuad<float>*>(tile + row * kPitch + x * CO + c), q.c);
    }
  }
}

// grid: (shares of the batch, kSize (kz), n_channels / CO)
template <int kSize, int CO>
__global__ void __launch_bounds__(threads_of<kSize>) conv3d_wide_gradient(Arguments a) {
  constexpr int kThreads = threads_of<kSize>, kReach = kSize / 2;
  constexpr int kHaloX = kTileX + 2 * kReach, kHaloY = kTileY + 2 * kReach;
  constexpr int kImagePitch = kHaloX % 8 == 4 ? kHaloX : kHaloX + 4;
  constexpr int kPitch =
      kTileX * CO + 4;  // of channels: the rows that a warp reads at once begin in banks of their own
  SR_SHARED(float, image, [kTileZ * kHaloY * kImagePitch]);
  SR_SHARED(float, channels, [kRows * kPitch]);
  SR_SHARED(float, exchange, [kThreads * kSize]);

  const int thread = static_cast<int>(threadIdx.x), ky = thread % kSize, row = thread / kSize;
  const int kz = static_cast<int>(blockIdx.y), first = static_cast<int>(blockIdx.z) * CO;
  const int nx = (a.size.w + kTileX - 1) / kTileX, ny = (a.size.h + kTileY - 1) / kTileY;
  const int per_patch = nx * ny * ((a.size.d + kTileZ - 1) / kTileZ);
  const int64_t voxels = int64_t{a.size.d} * a.size.h * a.size.w;
  const Share share = share_of_block(per_patch * a.n_patches);

  const float* window = image + (row / kTileY * kHaloY + row % kTileY + ky) * kImagePitch;
  float acc[kSize][CO] = {};
#pragma unroll 1
  for (int t = share.first; t < share.last; t++) {
    const int patch = t / per_patch, tile = t % per_patch;
    const int3 origin = make_int3(tile % nx * kTileX, tile / nx % ny * kTileY, tile / (nx * ny) * kTileZ);
    for (int i = thread; i < kHaloX * kHaloY * kTileZ; i += kThreads) {
      const int hx = i % kHaloX, hy = i / kHaloX % kHaloY, hz = i / (kHaloX * kHaloY);
      const int x = origin.x + hx - kReach, y = origin.y + hy - kReach, z = origin.z + hz + kz - kReach;
      const bool inside = x >= 0 && x < a.size.w && y >= 0 && y < a.size.h && z >= 0 && z < a.size.d;
      image[(hz * kHaloY + hy) * kImagePitch + hx] =
          inside ? a.image[patch * voxels + (int64_t{z} * a.size.h + y) * a.size.w + x] : 0.0f;
    }
    load_channels<CO, kPitch, kThreads>(channels, a, patch, first, origin, thread);
    __syncthreads();
#pragma unroll 1
    for (int x = 0; x < kTileX; x += kVoxels) {
      float in[kVoxels + 2 * kReach];
#pragma unroll
      for (int i = 0; i < kVoxels + 2 * kReach; i += 4) {
        const float4 four = *reinterpret_cast<const float4*>(window + x + i);
        in[i] = four.x, in[i + 1] = four.y, in[i + 2] = four.z, in[i + 3] = four.w;
      }
#pragma unroll
      for (int v = 0; v < kVoxels; v++)
#pragma unroll
        for (int c = 0; c < CO; c += 4) {
          const float4 d = *reinterpret_cast<const float4*>(channels + row * kPitch + (x + v) * CO + c);
#pragma unroll
          for (int kx = 0; kx < kSize; kx++) {
            acc[kx][c] = fmaf(d.x, in[v + kx], acc[kx][c]);
            acc[kx][c + 1] = fmaf(d.y, in[v + kx], acc[kx][c + 1]);
            acc[kx][c + 2] = fmaf(d.z, in[v + kx], acc[kx][c + 2]);
            acc[kx][c + 3] = fmaf(d.w, in[v + kx], acc[kx][c + 3]);
          }
        }
    }
    __syncthreads();  // before the next tile replaces this one
  }

  constexpr int n_taps = kSize * kSize * kSize;
#pragma unroll
  for (int c = 0; c < CO; c++) {
#pragma unroll
    for (int kx = 0; kx < kSize; kx++) exchange[thread * kSize + kx] = acc[kx][c];
    __syncthreads();
    if (thread < kSize * kSize) {  // (ky, kx)
      float sum = 0;
      for (int r = 0; r < kRows; r++) sum += exchange[r * kSize * kSize + thread];
      const int tap = kz * kSize * kSize + thread;
      a.partial[(int64_t{share.index} * a.n_channels + first + c) * n_taps + (a.mirrored ? n_taps - 1 - tap : tap)] =
          sum;
    }
    __syncthreads();
  }
}

}  // namespace

int conv3d_wide_gradient_parts(Size3 patch, int n_patches) {
  return shares_of(tiles_of(patch) * n_patches);
}

Result conv3d_wide_gradient(const Conv3dBackwardWeights& b, Stream stream) {
  const bool to_image = b.dy.image != nullptr;
  const Operand& channels = to_image ? b.x : b.dy;
  const Arguments a = {.image = to_image ? b.dy.image : b.x.image,
                       .maps = channels.maps,
                       .first = channels.channels.first,
                       .n_channels = channels.channels.count,
                       .prologue = to_image ? b.prologue : DevicePrologue{},
                       .mirrored = to_image,
                       .size = b.patch,
                       .n_patches = b.n_patches,
                       .partial = b.partial};
  with_constant<5, 9>(b.shape.size, [&](auto size) {
    with_constant<4, 8>(group_of(a.n_channels), [&](auto group) {
      const dim3 grid(static_cast<unsigned>(conv3d_wide_gradient_parts(a.size, a.n_patches)),
                      static_cast<unsigned>(size()), static_cast<unsigned>(a.n_channels / group()));
      SR_LAUNCH((conv3d_wide_gradient<size(), group()>), grid, dim3(threads_of<size()>), 0, stream, a);
    });
  });
  return launched("the gradient of weights");
}

}  // namespace sr::cuda
