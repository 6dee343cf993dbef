// 3x3x3 convolution on tensor cores (f16, bf16, tf32), with batch-norm and activation on the way in:
//
//   y[co](v) = bias[co] + sum over ci, tap of weight[co][ci][tap] * act(scale[ci] x[ci](v + tap) + shift[ci])
//
// What a feature unit does (24, 36, 48 or 4k channels -> k). Sums are float32; the activated input and the weights are
// rounded to the operand type.
//
// A block makes 8 x 8 x 8 voxels of 8 NT channels (NT n-tiles, kernels/cuda/tensor.cuh; NT = 2 for k = 12, of whose 16
// columns 4 are padding). A chunk of input channels - 16 of f16, 8 of tf32 - lies activated in shared memory with its
// halo, channels last in two planes of 16 bytes a voxel: 2 x 10 x 10 x 10 x 16 = 32 kB. Eight neighbours along x are
// 128 bytes that follow one another, whichever x they begin with, so neither ldmatrix, which reads eight such rows at a
// time, nor the 16-byte stores of the loading threads meet a bank twice, and there is no padding.
//
// Each of the 4 warps makes two planes of the block. The 16 voxels of an A fragment are two runs of 8 along x, four y
// apart: 16 in a row would fill 87 % of a patch of 70, runs of 8 fill 97 %. Weights stay in registers: the 9 taps of
// one kx, 9 NT fragments, meet the (2 + 2) x (4 + 2) A fragments of the warp's rows, each of which serves up to 9 NT
// mma. A warp's chunk is 216 NT mma to 72 ldmatrix.x4 of 512 bytes; for NT = 2, 432 mma, 85 bytes of shared memory an
// mma and 32 of weights from L1. An H100 reads 128 bytes a clock and starts about 0.6 such mma a clock, so the
// reads fill little more than half of it. Weights come straight from L1: a layer has 40 kB of them, the same for every
// block, and staging them in shared memory would read them once a block from L2, half as much again as the features.
// Features pass L1 by to leave it to them.
//
// While a block loads and activates, others multiply. Of 16 channels and NT = 2, on an H100: 16,000 exponentials, 16 a
// clock, take 1,000 clocks, 1,728 mma about 2,800. 1,000 voxels are read for 512, 1.95 each; 24 x 8 x 4 would
// read 2.03.
//
// Registers of f16 on sm_75, 80, 90 and 120 (bf16 and tf32 within 10 of them from 80 on), none spilled:
//   NT = 1   105, 119, 122, 120 of 128    4 blocks in flight on a multiprocessor of 64 K registers
//   NT = 2   150, 154, 168, 162 of 168    3 blocks
//   NT = 3   202, 199, 230, 241 of 255    2 blocks
// Shared memory: 32,000 bytes and 256 NT of sums.
//
// Where a chunk's channels end early, what is missing is zero; a warp with nothing inside the patch does not multiply.
#include <type_traits>

#include "kernels/cuda/check.h"
#include "kernels/cuda/conv3d_kernels.h"
#include "kernels/cuda/tensor.cuh"

namespace sr::cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kTile = 8, kHalo = kTile + 2, kHaloVoxels = kHalo * kHalo * kHalo;
constexpr int kPlanesZ = kTile / kWarps, kRunsY = kTile / 2;  // of a warp: 2 x 4 fragments of two runs

int blocks_of(Size3 s) {
  return tiles(s.w, kTile) * tiles(s.h, kTile) * tiles(s.d, kTile);
}

// Output channels go in groups of at most three n-tiles, as equal as may be.
int groups_of(int co) {
  return tiles(co, 24);
}
int n_tiles_of(int co) {
  return tiles(co, 8 * groups_of(co));
}

template <Precision P>
constexpr int chunk_of = 8 * TensorOperand<P>::per_word;  // channels of two planes

// What registers leave room for: blocks in flight, and voxels that a thread loads at once (8: a plane in one go).
template <int NT>
constexpr int blocks_per_multiprocessor = 5 - NT;
template <int NT>
constexpr int loads_of = NT < 3 ? 4 : 8;

using Arguments = ConvArguments<uint2>;  // weights: [group][chunk][kx][kz][ky][NT][lane]: the lane's b[0] and b[1]

// Activates one plane of a chunk of the block's tile and its halo; zero outside the patch. n_quads: of the plane that
// the layer has, none or more.
template <Precision P, int LOADS>
__device__ __forceinline__ void load_plane(uint4* plane, const StoredQuad<typename TensorOperand<P>::Storage>* x,
                                           int n_quads, int64_t voxels, Size3 size, int3 origin, const float* scale,
                                           const float* shift, const float* slope, int thread) {
  using Stored = StoredQuad<typename TensorOperand<P>::Storage>;
  constexpr int quads = TensorOperand<P>::per_word, words = 4 / quads;  // words of a quad
#pragma unroll 1
  for (int first = thread; first < kHaloVoxels; first += LOADS * kThreads) {
    Stored raw[LOADS][quads];
    bool inside[LOADS];
#pragma unroll
    for (int i = 0; i < LOADS; i++) {
      const int v = first + i * kThreads;
      const int vx = origin.x + v % kHalo - 1, vy = origin.y + v / kHalo % kHalo - 1;
      const int vz = origin.z + v / (kHalo * kHalo) - 1;
      inside[i] = v < kHaloVoxels && vx >= 0 && vx < size.w && vy >= 0 && vy < size.h && vz >= 0 && vz < size.d;
      const int offset = (vz * size.h + vy) * size.w + vx;
#pragma unroll
      for (int q = 0; q < quads; q++) {
        raw[i][q] = {};
        if (inside[i] && q < n_quads) raw[i][q] = load_through_l2(x + q * voxels + offset);
      }
    }
    float a[4 * quads], b[4 * quads];  // asked for after the voxels: both are on their way, and registers are spared
#pragma unroll
    for (int c = 0; c < 4 * quads; c++) {
      a[c] = scale && c / 4 < n_quads ? scale[c] : 0.0f;
      b[c] = scale && c / 4 < n_quads ? shift[c] : 0.0f;
    }
#pragma unroll
    for (int i = 0; i < LOADS; i++) {
      uint32_t unit[quads][words] = {};
      if (inside[i] && n_quads > 0) {
#pragma unroll
        for (int q = 0; q < quads; q++) {
          const float* slopes = slope && q < n_quads ? slope + 4 * q : nullptr;
          if (scale)
            activated_words_of<P>(unit[q], raw[i][q], a + 4 * q, b + 4 * q,
                                  [&](float t, int c) { return slopes ? prelu(t, slopes[c]) : elu(t); });
          else
            words_of<P>(unit[q], raw[i][q]);
        }
      }
      const int v = first + i * kThreads;
      if (v < kHaloVoxels)
        plane[v] = make_uint4(unit[0][0], unit[0][1], unit[2 / words][2 % words], unit[2 / words][2 % words + 1]);
    }
  }
}

// acc += the taps of one chunk. `row`: of the tile, the one whose address this lane gives to ldmatrix for tap (0, 0, 0)
// of the warp's first fragment. `weights`: of this lane.
template <Precision P, int NT>
__device__ __forceinline__ void multiply_chunk(float (&acc)[kPlanesZ * kRunsY][NT][4], const uint4* row,
                                               const uint2* weights) {
#pragma unroll 1
  for (int kx = 0; kx < 3; kx++) {
    uint32_t w[3][3][NT][2];
#pragma unroll
    for (int kz = 0; kz < 3; kz++)
#pragma unroll
      for (int ky = 0; ky < 3; ky++)
#pragma unroll
        for (int tile = 0; tile < NT; tile++) {
          const uint2 b = __ldg(weights + ((kz * 3 + ky) * NT + tile) * 32);
          w[kz][ky][tile][0] = b.x, w[kz][ky][tile][1] = b.y;
        }
    weights += 9 * NT * 32;
#pragma unroll
    for (int z = 0; z < kPlanesZ + 2; z++)
#pragma unroll
      for (int y = 0; y < kRunsY + 2; y++) {
        if (y % 3 == 0) __syncwarp();  // keeps ptxas from loading more than three fragments ahead, or it would spill
        uint32_t a[4];
        ptx::ldmatrix_x4(a, row + (z * kHalo + y) * kHalo + kx);
#pragma unroll
        for (int kz = 0; kz < 3; kz++)
#pragma unroll
          for (int ky = 0; ky < 3; ky++) {
            if (z - kz < 0 || z - kz >= kPlanesZ || y - ky < 0 || y - ky >= kRunsY) continue;
#pragma unroll
            for (int tile = 0; tile < NT; tile++)
              TensorOperand<P>::mma(acc[(z - kz) * kRunsY + y - ky][tile], a, w[kz][ky][tile]);
          }
      }
  }
}

// grid: (tiles of the patch, groups of channels, patches)
template <Precision P, int NT>
__global__ void __launch_bounds__(kThreads, blocks_per_multiprocessor<NT>) conv3x3x3_tensor(Arguments a) {
  using T = typename TensorOperand<P>::Storage;
  constexpr int quads = TensorOperand<P>::per_word;  // of a plane
  SR_SHARED(uint4, tile, [2 * kHaloVoxels]);
  SR_SHARED(float, sums_scratch, [kWarps * 16 * NT]);

  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32, g = lane / 4, t = lane % 4;
  const Size3 size = a.x.size;
  const int patch = static_cast<int>(blockIdx.z), group = static_cast<int>(blockIdx.y);
  const int part = static_cast<int>(blockIdx.x);
  const int nx = (size.w + kTile - 1) / kTile, ny = (size.h + kTile - 1) / kTile;
  const int3 origin = make_int3(part % nx * kTile, part / nx % ny * kTile, part / (nx * ny) * kTile);
  const int64_t voxels = int64_t{size.d} * size.h * size.w;
  const int first_channel = group * 8 * NT, n_channels = min(8 * NT, a.co - first_channel);
  const int first_z = origin.z + warp * kPlanesZ;

  float acc[kPlanesZ * kRunsY][NT][4];
  fill_with_bias(acc, a.bias ? a.bias + first_channel : nullptr, n_channels, t);

  // Matrices of an A fragment: run 0 and run 1 of the first plane, then of the second.
  const int matrix = lane / 8;
  const uint4* row =
      tile + matrix / 2 * kHaloVoxels + (warp * kPlanesZ * kHalo + matrix % 2 * kRunsY) * kHalo + lane % 8;
  const int64_t affine = patch * a.prologue.patch_stride;
  const int n_chunks = (a.ci + chunk_of<P> - 1) / chunk_of<P>;
  const uint2* weights = a.weights + int64_t{group} * n_chunks * 27 * NT * 32 + lane;
  for (int chunk = 0; chunk < n_chunks; chunk++) {
#pragma unroll 1
    for (int plane = 0; plane < 2; plane++) {
      const int quad = (2 * chunk + plane) * quads;
      const float* scale = a.prologue.scale ? a.prologue.scale + affine + 4 * quad : nullptr;
      const float* shift = a.prologue.scale ? a.prologue.shift + affine + 4 * quad : nullptr;
      const float* slope = a.prologue.slope ? a.prologue.slope + 4 * quad : nullptr;
      load_plane<P, loads_of<NT>>(tile + plane * kHaloVoxels, quads_of<T>(a.x, a.x_first + 4 * quad, patch),
                                  a.ci / 4 - quad, voxels, size, origin, scale, shift, slope, thread);
    }
    __syncthreads();
    if (first_z < size.d) multiply_chunk<P, NT>(acc, row, weights + chunk * (27 * NT * 32));
    __syncthreads();  // before the next chunk replaces this one
  }

  ColumnSums<NT> sums;
  StoredQuad<T>* y = quads_of<T>(a.y, a.y_first + first_channel, patch);
#pragma unroll
  for (int z = 0; z < kPlanesZ; z++)
#pragma unroll
    for (int run = 0; run < kRunsY; run++)
#pragma unroll
      for (int half = 0; half < 2; half++) {
        const int vx = origin.x + g, vy = origin.y + half * kRunsY + run, vz = first_z + z;
        if (vx >= size.w || vy >= size.h || vz >= size.d) continue;
        store_row<NT>(y + (int64_t{vz} * size.h + vy) * size.w + vx, voxels, acc[z * kRunsY + run], half, t,
                      n_channels);
        sums.add_row(acc[z * kRunsY + run], half);
      }
  if (a.partial_sums)
    sums.store(sums_scratch, thread, kThreads, a.partial_sums, int64_t{patch} * a.co + first_channel, n_channels, part,
               static_cast<int>(gridDim.x));
}

template <Precision P, int NT>
void launch(const Arguments& a, Stream stream) {
  const dim3 grid(static_cast<unsigned>(blocks_of(a.x.size)), static_cast<unsigned>(groups_of(a.co)),
                  static_cast<unsigned>(a.x.n_patches));
  SR_LAUNCH((conv3x3x3_tensor<P, NT>), grid, dim3(kThreads), 0, stream, a);
}

int chunks_of(int ci, Precision precision) {
  return with_operand(precision, [&](auto p) { return tiles(ci, chunk_of<p()>); });
}

}  // namespace

int conv3x3x3_tensor_parts(Size3 patch) {
  return blocks_of(patch);
}

int64_t conv3x3x3_tensor_packed_bytes(const ConvWeights& s, Precision precision) {
  return int64_t{groups_of(s.co)} * chunks_of(s.ci, precision) * 27 * n_tiles_of(s.co) * 32 * int64_t{sizeof(uint2)};
}

void conv3x3x3_tensor_pack(const ConvWeights& conv, Precision precision, void* packed) {
  uint32_t* out = static_cast<uint32_t*>(packed);
  const int n_tiles = n_tiles_of(conv.co);
  with_operand(precision, [&](auto p) {
    using Tensor = TensorOperand<p()>;
    const auto weight = [&](int co, int ci, int tap) {
      return co < conv.co && ci < conv.ci ? conv.weight[(int64_t{co} * conv.ci + ci) * 27 + tap] : 0.0f;
    };
    for (int group = 0; group < groups_of(conv.co); group++)
      for (int chunk = 0; chunk < tiles(conv.ci, chunk_of<p()>); chunk++)
        for (int i = 0; i < 27; i++) {
          const int kx = i / 9, kz = i / 3 % 3, ky = i % 3;
          for (int tile = 0; tile < n_tiles; tile++)
            for (int lane = 0; lane < 32; lane++)
              for (int plane = 0; plane < 2; plane++) {
                const int tap = (kz * 3 + ky) * 3 + kx;
                const int co = (group * n_tiles) * 8 + channel_of_column(n_tiles, tile, lane / 4);
                const int ci = (chunk * 2 + plane) * chunk_of<p()> / 2 + lane % 4 * Tensor::per_word;
                const float values[2] = {weight(co, ci, tap), weight(co, ci + 1, tap)};
                *out++ = Tensor::word(values);
              }
        }
  });
}

Result conv3x3x3_tensor_forward(const Conv3dForward& f, Stream stream) {
  const Arguments a = arguments_of<uint2>(f);
  with_operand(f.precision, [&](auto p) {
    switch (n_tiles_of(f.shape.co)) {
      case 1:
        return launch<p(), 1>(a, stream);
      case 2:
        return launch<p(), 2>(a, stream);
      default:
        return launch<p(), 3>(a, stream);
    }
  });
  return launched("convolution");
}

}  // namespace sr::cuda
