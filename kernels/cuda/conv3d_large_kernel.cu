// 5x5x5 and 9x9x9 convolutions on CUDA cores, of one channel in or one out: the first and last layers of the baselines.
//
//   from an image   y[co](v) = bias[co] + sum over tap of weight[co][tap] * x(v + tap)
//   to an image     y(v) = bias + sum over ci, tap of weight[ci][tap] * act(scale[ci] x[ci](v + tap) + shift[ci])
//
// Either is 729 (125) multiply-adds for each channel of a voxel: bound by arithmetic. What it takes is that a value
// that was read is multiplied often before it leaves the registers.
//
// From an image: a block makes 24 x 8 x 8 voxels (x, y, z) of CO channels, a thread 8 voxels along x of all of them, 64
// sums. The image's tile with its halo lies in shared memory, the weights of one kz beside it, which the whole block
// reads at once (broadcast). For each (kz, ky) a thread reads 16 values by four 16-byte reads, and 72 weights by 18, to
// 576 multiply-adds. Lanes follow one another along y, and rows are 4 modulo 8 floats apart, so that the eight lanes
// which are served together meet no bank twice.
//
// To an image: there are no output channels to share a value with, so it is used for outputs along x and z. A block
// makes 24 x 8 x 8 voxels; each of its 4 warps has one of the four channels of a quad, each lane 6 voxels along x and
// all 8 along z, 48 sums. The tile passes by plane by plane, activated: for each ky a lane reads 14 values of the
// plane, by seven 8-byte reads (rows are 8 modulo 32 floats apart: no conflicts), and for each of its z that the plane
// is a neighbour of nine weights, by three broadcast reads, to 54 multiply-adds. No more of the tile than one plane is
// ever there, so that two blocks and more find room on every GPU. At the end the four warps' sums are added.
//
// Backward, the first brings the gradient of an image to the channels that it was made of (kernels/cuda/epilogue.cuh).
#include "kernels/cuda/check.h"
#include "kernels/cuda/conv3d_kernels.h"
#include "kernels/cuda/epilogue.cuh"

namespace sr::cuda {
namespace {

constexpr int kTileX = 24, kTileY = 8, kTileZ = 8;

int blocks_of(Size3 s) {
  return tiles(s.w, kTileX) * tiles(s.h, kTileY) * tiles(s.d, kTileZ);
}

__device__ __forceinline__ int3 origin_of(int part, Size3 size) {
  const int nx = (size.w + kTileX - 1) / kTileX, ny = (size.h + kTileY - 1) / kTileY;
  return make_int3(part % nx * kTileX, part / nx % ny * kTileY, part / (nx * ny) * kTileZ);
}

// f(std::integral_constant<int, kSize>) for a layer's kernel.
template <class F>
auto with_size(int size, F f) {
  return with_constant<5, 9>(size, f);
}

// ---- from an image ----

constexpr int kVoxels = 8;  // along x, of a thread
constexpr int kThreadsX = kTileX / kVoxels;
constexpr int kThreads = kThreadsX * kTileY * kTileZ;
static_assert(kThreads % 32 == 0 && kTileY == 8);

// Output channels of a block.
int group_of(int co) {
  return co % 8 == 0 ? 8 : 4;
}

// Weights: [co / CO][tap][CO]. grid: (tiles of the patch, co / CO, patches)
template <class T, int kSize, int CO, bool kBackward>
__global__ void __launch_bounds__(kThreads) conv3d_from_image(ImageArguments a) {
  constexpr int kReach = kSize / 2, kHaloX = kTileX + 2 * kReach, kHaloY = kTileY + 2 * kReach;
  constexpr int kHaloZ = kTileZ + 2 * kReach, kPitch = kHaloX % 8 == 4 ? kHaloX : kHaloX + 4;
  constexpr int kTapsOfPlane = kSize * kSize;
  static_assert(kPitch % 8 == 4);
  SR_SHARED(float, tile, [kHaloZ * kHaloY * kPitch]);
  SR_SHARED(float, weights, [kTapsOfPlane * CO]);
  SR_SHARED(float, sums_scratch, [kThreads / 32 * CO * 2]);

  const int thread = static_cast<int>(threadIdx.x);
  const int ty = thread % kTileY, tx = thread / kTileY % kThreadsX, tz = thread / (kTileY * kThreadsX);
  const Size3 size = a.y.size;
  const int patch = static_cast<int>(blockIdx.z), group = static_cast<int>(blockIdx.y);
  const int part = static_cast<int>(blockIdx.x);
  const int3 origin = origin_of(part, size);
  const int64_t voxels = int64_t{size.d} * size.h * size.w;

  const float* image = a.image + patch * voxels;
  for (int i = thread; i < kHaloX * kHaloY * kHaloZ; i += kThreads) {
    const int hx = i % kHaloX, hy = i / kHaloX % kHaloY, hz = i / (kHaloX * kHaloY);
    const int x = origin.x + hx - kReach, y = origin.y + hy - kReach, z = origin.z + hz - kReach;
    const bool inside = x >= 0 && x < size.w && y >= 0 && y < size.h && z >= 0 && z < size.d;
    tile[(hz * kHaloY + hy) * kPitch + hx] = inside ? image[(int64_t{z} * size.h + y) * size.w + x] : 0.0f;
  }

  float acc[kVoxels][CO];
#pragma unroll
  for (int c = 0; c < CO; c++) {
    const float bias = a.bias ? a.bias[group * CO + c] : 0.0f;
#pragma unroll
    for (int v = 0; v < kVoxels; v++) acc[v][c] = bias;
  }

  const float* corner = tile + (tz * kHaloY + ty) * kPitch + tx * kVoxels;
  const bool inside = origin.x + tx * kVoxels < size.w && origin.y + ty < size.h && origin.z + tz < size.d;
  const float* next = a.weights + int64_t{group} * kSize * kTapsOfPlane * CO;
#pragma unroll 1
  for (int kz = 0; kz < kSize; kz++, next += kTapsOfPlane * CO) {
    for (int i = thread; i < kTapsOfPlane * CO; i += kThreads) weights[i] = next[i];
    __syncthreads();
#pragma unroll 1
    for (int ky = 0; ky < kSize && inside; ky++) {
      float in[kVoxels + 2 * kReach];
      const float* p = corner + (kz * kHaloY + ky) * kPitch;
#pragma unroll
      for (int i = 0; i < kVoxels + 2 * kReach; i += 4) {
        const float4 four = *reinterpret_cast<const float4*>(p + i);
        in[i] = four.x, in[i + 1] = four.y, in[i + 2] = four.z, in[i + 3] = four.w;
      }
#pragma unroll
      for (int kx = 0; kx < kSize; kx++) {
        const float* w = weights + (ky * kSize + kx) * CO;
#pragma unroll
        for (int c = 0; c < CO; c += 4) {
          const float4 four = *reinterpret_cast<const float4*>(w + c);
#pragma unroll
          for (int v = 0; v < kVoxels; v++) {
            acc[v][c] = fmaf(four.x, in[v + kx], acc[v][c]);
            acc[v][c + 1] = fmaf(four.y, in[v + kx], acc[v][c + 1]);
            acc[v][c + 2] = fmaf(four.z, in[v + kx], acc[v][c + 2]);
            acc[v][c + 3] = fmaf(four.w, in[v + kx], acc[v][c + 3]);
          }
        }
      }
    }
    __syncthreads();  // before the next kz's weights replace these
  }

  const int vy = origin.y + ty, vz = origin.z + tz;
  const auto each = [&](auto f) {
#pragma unroll
    for (int v = 0; v < kVoxels; v++) {
      const int vx = origin.x + tx * kVoxels + v;
      if (vx < size.w && vy < size.h && vz < size.d) f((int64_t{vz} * size.h + vy) * size.w + vx, acc[v]);
    }
  };
  finish<T, CO, kBackward>({a.y, a.y_first, nullptr, a.target, patch, group * CO, a.co, a.partial_sums}, sums_scratch,
                           thread, kThreads, each);
}

template <class T, int kSize, int CO, bool kBackward = false>
void launch_from_image(const ImageArguments& a, Stream stream) {
  const dim3 grid(static_cast<unsigned>(blocks_of(a.y.size)), static_cast<unsigned>(a.co / CO),
                  static_cast<unsigned>(a.y.n_patches));
  SR_LAUNCH((conv3d_from_image<T, kSize, CO, kBackward>), grid, dim3(kThreads), 0, stream, a);
}

// ---- to an image ----

constexpr int kRun = 6;  // voxels along x, of a lane
constexpr int kLanesX = kTileX / kRun;
constexpr int kToThreads = 4 * 32;  // a warp for each channel of a quad
constexpr int kPlanePitch = 40;
static_assert(kLanesX * kTileY == 32 && kRun % 2 == 0);

struct ToImage : ConvArguments<float> {  // weights: [ci][tap]
  float* image;                          // [patch][voxel]
};

// The four channels of a plane of the tile with its halo, [channel][y][x], activated, zero outside the patch.
template <class T, int kSize>
__device__ __forceinline__ void load_plane(float* plane, const StoredQuad<T>* x, Size3 size, int3 origin, int z,
                                           const Activation& activation, int thread) {
  constexpr int kReach = kSize / 2, kHaloX = kTileX + 2 * kReach, kHaloY = kTileY + 2 * kReach;
  for (int i = thread; i < kHaloX * kHaloY; i += kToThreads) {
    const int vx = origin.x + i % kHaloX - kReach, vy = origin.y + i / kHaloX - kReach;
    Quad q = {};
    if (vx >= 0 && vx < size.w && vy >= 0 && vy < size.h)
      q = activate(load_quad(x + (int64_t{z} * size.h + vy) * size.w + vx), activation);
    float* p = plane + i / kHaloX * kPlanePitch + i % kHaloX;
#pragma unroll
    for (int c = 0; c < 4; c++) p[c * kHaloY * kPlanePitch] = q.c[c];
  }
}

// grid: (tiles of the patch, 1, patches)
template <class T, int kSize>
__global__ void __launch_bounds__(kToThreads, 4) conv3d_to_image(ToImage a) {
  constexpr int kReach = kSize / 2, kHaloX = kTileX + 2 * kReach, kHaloY = kTileY + 2 * kReach;
  constexpr int kRows = kSize * kSize, kRow = (kSize + 3) / 4 * 4;  // of weights
  static_assert(kPlanePitch >= kHaloX && kHaloY * kPlanePitch >= kTileX * kTileY);
  SR_SHARED(float, plane, [4 * kHaloY * kPlanePitch]);
  SR_SHARED(float, weights, [4 * kRows * kRow]);
  SR_SHARED(float, sums_scratch, [kToThreads / 32 * 2]);

  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32;
  const int tx = thread % kLanesX, ty = thread % 32 / kLanesX;
  const Size3 size = a.x.size;
  const int patch = static_cast<int>(blockIdx.z), part = static_cast<int>(blockIdx.x);
  const int3 origin = origin_of(part, size);
  const int64_t voxels = int64_t{size.d} * size.h * size.w;
  const int first_plane = max(0, kReach - origin.z);
  const int last_plane = min(kTileZ + 2 * kReach, size.d + kReach - origin.z);

  const StoredQuad<T>* x = quads_of<T>(a.x, a.x_first, patch);
  const float* row = plane + (warp * kHaloY + ty) * kPlanePitch + tx * kRun;
  const float* of_warp = weights + warp * kRows * kRow;
  const bool inside = origin.x + tx * kRun < size.w && origin.y + ty < size.h;
  float acc[kTileZ][kRun] = {};
#pragma unroll 1
  for (int ci = 0; ci < a.ci; ci += 4, x += voxels) {
    const Activation activation = activation_of(a.prologue, patch, ci);
    const float* w = a.weights + int64_t{ci} * kRows * kSize;
    for (int i = thread; i < 4 * kRows * kSize; i += kToThreads) weights[i / kSize * kRow + i % kSize] = w[i];
#pragma unroll 1
    for (int p = first_plane; p < last_plane; p++) {
      load_plane<T, kSize>(plane, x, size, origin, origin.z + p - kReach, activation, thread);
      __syncthreads();
#pragma unroll 1
      for (int ky = 0; ky < kSize && inside; ky++) {
        float in[kRun + 2 * kReach];
#pragma unroll
        for (int i = 0; i < kRun + 2 * kReach; i += 2) {
          const float2 two = *reinterpret_cast<const float2*>(row + ky * kPlanePitch + i);
          in[i] = two.x, in[i + 1] = two.y;
        }
#pragma unroll
        for (int z = 0; z < kTileZ; z++) {
          const int kz = p - z;
          if (kz < 0 || kz >= kSize) continue;
          const float* taps = of_warp + (kz * kSize + ky) * kRow;
          float tap[kSize];
#pragma unroll
          for (int i = 0; i + 4 <= kSize; i += 4) {
            const float4 four = *reinterpret_cast<const float4*>(taps + i);
            tap[i] = four.x, tap[i + 1] = four.y, tap[i + 2] = four.z, tap[i + 3] = four.w;
          }
          tap[kSize - 1] = taps[kSize - 1];
#pragma unroll
          for (int kx = 0; kx < kSize; kx++)
#pragma unroll
            for (int v = 0; v < kRun; v++) acc[z][v] = fmaf(tap[kx], in[v + kx], acc[z][v]);
        }
      }
      __syncthreads();  // before the next plane replaces this one
    }
  }

  // The channels' sums, plane by plane, through the memory of the last plane of inputs.
  float* image = a.image + patch * voxels;
  const float bias = a.bias ? a.bias[0] : 0.0f;
  constexpr int kOutputs = kTileX * kTileY;
  float sum[1] = {}, squares[1] = {};
#pragma unroll
  for (int z = 0; z < kTileZ; z++) {
#pragma unroll
    for (int v = 0; v < kRun; v++) plane[warp * kOutputs + ty * kTileX + tx * kRun + v] = acc[z][v];
    __syncthreads();
    for (int i = thread; i < kOutputs; i += kToThreads) {
      const int vx = origin.x + i % kTileX, vy = origin.y + i / kTileX, vz = origin.z + z;
      if (vx >= size.w || vy >= size.h || vz >= size.d) continue;
      const float out[1] = {bias +
                            ((plane[i] + plane[kOutputs + i]) + (plane[2 * kOutputs + i] + plane[3 * kOutputs + i]))};
      store_outputs<T, 1>(a.y, 0, image, patch, 0, (int64_t{vz} * size.h + vy) * size.w + vx, out, sum, squares);
    }
    __syncthreads();  // before the next z replaces this one
  }
  if (!a.partial_sums) return;
  block_sums<1>(sum, squares, sums_scratch, thread, kToThreads);
  if (thread == 0) store_sums<1>(sum, squares, a.partial_sums, patch, 1, 0, part, static_cast<int>(gridDim.x));
}

}  // namespace

int conv3d_wide_parts(Size3 patch) {
  return blocks_of(patch);
}

void conv3d_wide_pack(const ConvWeights& conv, float* packed) {
  const int taps = conv.size * conv.size * conv.size, group = conv.co == 1 ? 1 : group_of(conv.co);
  for (int co = 0; co < conv.co; co++)
    for (int i = 0; i < conv.ci * taps; i++)
      packed[(int64_t{co / group} * conv.ci * taps + i) * group + co % group] =
          conv.weight[int64_t{co} * conv.ci * taps + i];
}

Result conv3d_wide_forward(const Conv3dForward& f, Stream stream) {
  with_storage(f.precision, [&](auto zero) {
    using T = decltype(zero);
    with_size(f.shape.size, [&](auto kernel) {
      if (f.shape.ci == 1) {
        const ImageArguments a = image_arguments_of(f);
        with_constant<4, 8>(group_of(a.co), [&](auto group) { launch_from_image<T, kernel(), group()>(a, stream); });
      } else {
        const ToImage a = {arguments_of<float>(f), f.y.image};
        const dim3 grid(static_cast<unsigned>(blocks_of(a.x.size)), 1, static_cast<unsigned>(a.x.n_patches));
        SR_LAUNCH((conv3d_to_image<T, kernel()>), grid, dim3(kToThreads), 0, stream, a);
      }
    });
  });
  return launched("convolution");
}

Result conv3d_wide_backward(const Conv3dBackwardData& b, Stream stream) {
  const ImageArguments a = image_arguments_of(b);
  with_size(b.shape.size, [&](auto kernel) {
    with_constant<4, 8>(group_of(a.co),
                        [&](auto group) { launch_from_image<float, kernel(), group(), true>(a, stream); });
  });
  return launched("the gradient of a convolution");
}

}  // namespace sr::cuda
