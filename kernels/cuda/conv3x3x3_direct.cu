// 3x3x3 convolution on CUDA cores, all 27 taps multiplied, with batch-norm and activation on the way in:
//
//   y[co](v) = bias[co] + sum over ci, tap of weight[co][ci][tap] * act(scale[ci] x[ci](v + tap) + shift[ci])
//
// What a feature unit does (24, 36, 48 or 4k channels -> k), and with CO = 1 the last layer of "-r".
//
// A block makes 24 x 8 x 4 voxels (x, y, z) of CO channels: 96 threads, each 4 voxels along x in 2 rows, all CO
// channels in 8 CO registers. Four input channels at a time (one quad) lie activated in shared memory with their halo,
// 6 x 10 rows of 26, 27 kB; a depth of 8 would make the halo smaller (1.7 instead of 2.0 reads of a voxel) but not fit
// the 48 kB that a block has on every GPU. A 70^3 patch is 3 x 9 x 18 blocks, 92 % of whose voxels are the patch's.
//
// Per channel and kz a thread reads 4 rows, 24 values, by a 16- and an 8-byte read a row, and multiplies them with 9
// taps, for which it reads 9 CO / 4 vectors of weights that the whole warp shares (broadcast): for CO = 12, 864
// multiply-adds to 8 + 27 reads. The pitch of 28 floats puts the rows of neighbouring threads (two rows apart: 56 = 24
// mod 32) on banks that follow one another, so the 16-byte reads of a warp are free of conflicts.
//
// The gradient of the data is the same convolution with transposed weights; another epilogue
// (kernels/cuda/epilogue.cuh) takes its result through ELU onto the gradients that are there.
#include "kernels/cuda/check.h"
#include "kernels/cuda/conv3d_kernels.h"
#include "kernels/cuda/epilogue.cuh"

namespace sr::cuda {
namespace {

constexpr int kVoxels = 4;  // along x, of a thread
constexpr int kRows = 2;    // along y, of a thread
constexpr int kThreadsX = 6, kThreadsY = 4, kThreadsZ = 4;
constexpr int kThreads = kThreadsX * kThreadsY * kThreadsZ;
constexpr int kTileX = kThreadsX * kVoxels, kTileY = kThreadsY * kRows, kTileZ = kThreadsZ;
constexpr int kHaloX = kTileX + 2, kHaloY = kTileY + 2, kHaloZ = kTileZ + 2;
constexpr int kPitch = 28;
constexpr int kPlane = kHaloY * kPitch, kChannel = kHaloZ * kPlane;
static_assert(kThreads % 32 == 0 && kPitch >= kHaloX && kPitch % 4 == 0 && (kRows * kPitch) % 32 == 24);

int blocks_of(Size3 s) {
  return tiles(s.w, kTileX) * tiles(s.h, kTileY) * tiles(s.d, kTileZ);
}

// Output channels of a block: the largest of 16, 12, 8, 4 that divides co. Registers for 24 at once there are not.
int group_of(int co) {
  if (co == 1) return 1;
  for (const int group : {16, 12, 8})
    if (co % group == 0) return group;
  return 4;
}

struct Arguments : ConvArguments<float> {  // weights: [co / CO][ci][27][CO]
  float* image;                            // CO = 1: the output [patch][voxel]
  GradientTarget target;                   // backward: where the output goes
};

// Loads a quad of input channels of the block's tile and its halo, activated, zero outside the patch.
template <class T>
__device__ __forceinline__ void load_tile(float* tile, const StoredQuad<T>* x, Size3 size, int3 origin,
                                          const Activation& activation, int thread) {
  for (int i = thread; i < kHaloX * kHaloY * kHaloZ; i += kThreads) {
    const int tx = i % kHaloX, ty = i / kHaloX % kHaloY, tz = i / (kHaloX * kHaloY);
    const int vx = origin.x + tx - 1, vy = origin.y + ty - 1, vz = origin.z + tz - 1;
    Quad a = {};
    if (vx >= 0 && vx < size.w && vy >= 0 && vy < size.h && vz >= 0 && vz < size.d)
      a = activate(load_quad(x + (int64_t{vz} * size.h + vy) * size.w + vx), activation);
    float* p = tile + tz * kPlane + ty * kPitch + tx;
#pragma unroll
    for (int c = 0; c < 4; c++) p[c * kChannel] = a.c[c];
  }
}

// acc += the 27 taps of one input channel. `channel` is the thread's corner of the channel's tile.
template <int CO>
__device__ __forceinline__ void multiply_channel(float (&acc)[kRows][kVoxels][CO], const float* channel,
                                                 const float* weights) {
#pragma unroll 1
  for (int kz = 0; kz < 3; kz++) {
    float in[kRows + 2][kVoxels + 2];
#pragma unroll
    for (int row = 0; row < kRows + 2; row++) {
      const float* p = channel + kz * kPlane + row * kPitch;
      const float4 left = *reinterpret_cast<const float4*>(p);
      const float2 right = *reinterpret_cast<const float2*>(p + 4);
      in[row][0] = left.x, in[row][1] = left.y, in[row][2] = left.z, in[row][3] = left.w;
      in[row][4] = right.x, in[row][5] = right.y;
    }
#pragma unroll
    for (int ky = 0; ky < 3; ky++)
#pragma unroll
      for (int kx = 0; kx < 3; kx++) {
        float w[CO];
        const float* p = weights + ((kz * 3 + ky) * 3 + kx) * CO;
        if constexpr (CO % 4 == 0) {
#pragma unroll
          for (int i = 0; i < CO; i += 4) {
            const float4 four = *reinterpret_cast<const float4*>(p + i);
            w[i] = four.x, w[i + 1] = four.y, w[i + 2] = four.z, w[i + 3] = four.w;
          }
        } else {
#pragma unroll
          for (int i = 0; i < CO; i++) w[i] = p[i];
        }
#pragma unroll
        for (int row = 0; row < kRows; row++)
#pragma unroll
          for (int v = 0; v < kVoxels; v++)
#pragma unroll
            for (int c = 0; c < CO; c++) acc[row][v][c] = fmaf(w[c], in[row + ky][v + kx], acc[row][v][c]);
      }
  }
}

// grid: (tiles of the patch, co / CO, patches)
template <class T, int CO, bool kBackward>
__global__ void __launch_bounds__(kThreads) conv3x3x3_direct(Arguments a) {
  SR_SHARED(float, tile, [4 * kChannel]);
  SR_SHARED(float, weights, [4 * 27 * CO]);
  SR_SHARED(float, sums_scratch, [kThreads / 32 * CO * 2]);

  const int thread = static_cast<int>(threadIdx.x);
  const int tx = thread % kThreadsX, ty = thread / kThreadsX % kThreadsY, tz = thread / (kThreadsX * kThreadsY);
  const Size3 size = a.x.size;
  const int patch = static_cast<int>(blockIdx.z), group = static_cast<int>(blockIdx.y);
  const int part = static_cast<int>(blockIdx.x);
  const int nx = (size.w + kTileX - 1) / kTileX, ny = (size.h + kTileY - 1) / kTileY;
  const int3 origin = make_int3(part % nx * kTileX, part / nx % ny * kTileY, part / (nx * ny) * kTileZ);
  const int64_t voxels = int64_t{size.d} * size.h * size.w;

  float acc[kRows][kVoxels][CO];
#pragma unroll
  for (int c = 0; c < CO; c++) {
    const float bias = a.bias ? a.bias[group * CO + c] : 0.0f;
#pragma unroll
    for (int row = 0; row < kRows; row++)
#pragma unroll
      for (int v = 0; v < kVoxels; v++) acc[row][v][c] = bias;
  }

  const StoredQuad<T>* x = quads_of<T>(a.x, a.x_first, patch);
  const float* corner = tile + tz * kPlane + ty * kRows * kPitch + tx * kVoxels;
  for (int ci = 0; ci < a.ci; ci += 4) {
    load_tile<T>(tile, x + ci / 4 * voxels, size, origin, activation_of(a.prologue, patch, ci), thread);
    const float* w = a.weights + (int64_t{group} * a.ci + ci) * 27 * CO;
    for (int i = thread; i < 4 * 27 * CO; i += kThreads) weights[i] = w[i];
    __syncthreads();
#pragma unroll 1
    for (int c = 0; c < 4; c++) multiply_channel<CO>(acc, corner + c * kChannel, weights + c * 27 * CO);
    __syncthreads();  // before the next quad replaces this one
  }

  float* image = CO == 1 ? a.image + int64_t{patch} * voxels : nullptr;
  const auto each = [&](auto f) {
#pragma unroll
    for (int row = 0; row < kRows; row++) {
      const int vy = origin.y + ty * kRows + row, vz = origin.z + tz;
#pragma unroll
      for (int v = 0; v < kVoxels; v++) {
        const int vx = origin.x + tx * kVoxels + v;
        if (vx < size.w && vy < size.h && vz < size.d) f((int64_t{vz} * size.h + vy) * size.w + vx, acc[row][v]);
      }
    }
  };
  finish<T, CO, kBackward>({a.y, a.y_first, image, a.target, patch, group * CO, a.co, a.partial_sums}, sums_scratch,
                           thread, kThreads, each);
}

template <class T, int CO, bool kBackward = false>
void launch(const Arguments& a, Size3 size, int n_patches, Stream stream) {
  const dim3 grid(static_cast<unsigned>(blocks_of(size)), static_cast<unsigned>(a.co / CO),
                  static_cast<unsigned>(n_patches));
  SR_LAUNCH((conv3x3x3_direct<T, CO, kBackward>), grid, dim3(kThreads), 0, stream, a);
}

}  // namespace

int conv3x3x3_direct_parts(Size3 patch) {
  return blocks_of(patch);
}

void conv3x3x3_direct_pack(const ConvWeights& conv, float* packed) {
  const int group = group_of(conv.co);
  for (int co = 0; co < conv.co; co++)
    for (int ci = 0; ci < conv.ci; ci++)
      for (int tap = 0; tap < 27; tap++)
        packed[((int64_t{co / group} * conv.ci + ci) * 27 + tap) * group + co % group] =
            conv.weight[(int64_t{co} * conv.ci + ci) * 27 + tap];
}

Result conv3x3x3_direct_forward(const Conv3dForward& f, Stream stream) {
  const Arguments a = {arguments_of<float>(f), f.y.image, {}};
  const Size3 size = f.x.maps.size;
  const int n = f.x.maps.n_patches;
  with_storage(f.precision, [&](auto zero) {
    using T = decltype(zero);
    // Of what is stored in 2 bytes, tensor cores make all layers but this one (kernels/cuda/conv3d.cu).
    if constexpr (sizeof(T) == 2) return launch<T, 1>(a, size, n, stream);
    with_constant<1, 4, 8, 12, 16>(group_of(f.shape.co), [&](auto group) { launch<T, group()>(a, size, n, stream); });
  });
  return launched("convolution");
}

Result conv3x3x3_direct_backward(const Conv3dBackwardData& b, Stream stream) {
  const Arguments a = {arguments_of(b), nullptr, target_of(b)};
  const Size3 size = b.f.size;
  const int n = b.f.n_patches;
  with_constant<4, 8, 12, 16>(group_of(b.shape.co),
                              [&](auto group) { launch<float, group(), true>(a, size, n, stream); });
  return launched("the gradient of a convolution");
}

}  // namespace sr::cuda
