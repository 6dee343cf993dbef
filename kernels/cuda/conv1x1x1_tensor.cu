// 1x1x1 convolutions on tensor cores (f16, bf16, tf32): the compressors (up to 504 channels -> 2k), the bottlenecks
// (batch-norm and ELU on the way in, -> 4k) and the reconstruction's first layer (-> 8k).
//
//   y[co](v) = bias[co] + sum over ci of weight[co][ci] * a[ci](v),   a = x or act(scale x + shift)
//
// A product of two matrices that is bound by device memory: 504 f16 channels of a voxel are 1 kB, which reach a
// multiprocessor of an H100 in 70 clocks, and 32 x 3 / 16 = 6 mma (k = 12), which take about 10. So nothing goes
// through shared memory: the order of k within a chunk of 16 channels is ours to choose, and lane t of a group of four
// takes quad t of voxels g and g + 8, one load each, whose registers are its share of A fragments as they are (k = 2t,
// 2t + 1: the quad's first two channels, k = 2t + 8, 2t + 9 its last two; of tf32 two mma take two channels each).
// Eight lanes read 64 bytes of a plane of quads, and the neighbouring fragments of the warp the next 64.
//
// A block is 4 warps, each with VOXELS fragments of 16 voxels that follow one another and NT n-tiles of 8 channels
// (kernels/cuda/tensor.cuh). The next chunk's quads are on their way while one is multiplied. Weights come from L1, 256
// bytes per n-tile and chunk, used for VOXELS mma; features pass L1 by.
//
// Resources: 128 threads, 256 NT bytes of shared memory. Registers of f16, the most of sm_90, 100 and 120, none
// spilled: NT = 1, 2, 3, 4: 120, 145, 158, 168; NT = 6, 8: 123, 146; NT = 12: 165, and 186 from sm_100 on, where there
// are two blocks of it. The limits are 128 and 168, 4 and 3 blocks in flight: 12 warps or more, each with 2 kB under
// way (1 kB from NT = 6 on); 3.35 TB/s at 700 ns are 18 kB a multiprocessor.
#include <type_traits>

#include "kernels/cuda/check.h"
#include "kernels/cuda/conv3d_kernels.h"
#include "kernels/cuda/tensor.cuh"

namespace sr::cuda {
namespace {

constexpr int kWarps = 4, kThreads = 32 * kWarps;
constexpr int kChunk = 16;  // input channels: a quad for each lane of four

// Output channels go in groups of at most twelve n-tiles, or an input would be activated twice in a bottleneck.
int groups_of(int co) {
  return tiles(co, 96);
}
int n_tiles_of(int co) {
  const int n = tiles(co, 8 * groups_of(co));
  for (const int size : {1, 2, 3, 4, 6, 8})
    if (n <= size) return size;
  return 12;
}

// Fragments of a warp: tf32 takes twice the registers for as many channels.
template <Precision P, int NT>
constexpr int fragments_of = (NT <= 4 ? 4 : 2) / (P == Precision::tf32 ? 2 : 1);

// Blocks in flight, at 168 or 128 registers: by those of accumulators, quads and what becomes of them.
template <Precision P, int NT>
constexpr int registers_of = fragments_of<P, NT>*(4 * NT + (P == Precision::tf32 ? 32 : 16));
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr int kBlocksOfWidest = 2;  // of 168 registers, 84 bytes would be spilled
#else
constexpr int kBlocksOfWidest = 3;
#endif
template <Precision P, int NT>
constexpr int blocks_per_multiprocessor = NT > 8                      ? kBlocksOfWidest
                                          : registers_of<P, NT> >= 96 ? 3
                                                                      : 4;

// f(std::integral_constant<int, NT>) for a layer with co outputs.
template <class F>
auto with_n_tiles(int co, F f) {
  switch (n_tiles_of(co)) {
    case 1:
      return f(std::integral_constant<int, 1>());
    case 2:
      return f(std::integral_constant<int, 2>());
    case 3:
      return f(std::integral_constant<int, 3>());
    case 4:
      return f(std::integral_constant<int, 4>());
    case 6:
      return f(std::integral_constant<int, 6>());
    case 8:
      return f(std::integral_constant<int, 8>());
    default:
      return f(std::integral_constant<int, 12>());
  }
}

template <Precision P, int NT>
int blocks_of(Size3 s) {
  constexpr int64_t block = int64_t{kWarps} * 16 * fragments_of<P, NT>;
  return static_cast<int>((s.voxels() + block - 1) / block);
}

using Arguments = ConvArguments<uint2>;  // weights: [group][chunk][step][NT][lane]: the lane's b[0] and b[1]

// The lane's quads of voxels g and g + 8 of each fragment. `missing`: of a chunk that ends early, zero.
template <class T, int VOXELS>
__device__ __forceinline__ void load_chunk(StoredQuad<T> (&quads)[VOXELS][2], const StoredQuad<T>* x, int first,
                                           int voxels, bool missing) {
#pragma unroll
  for (int i = 0; i < VOXELS; i++)
#pragma unroll
    for (int row = 0; row < 2; row++) {
      quads[i][row] = {};
      if (!missing) quads[i][row] = load_through_l2(x + min(first + 16 * i + 8 * row, voxels - 1));
    }
}

// grid: (runs of voxels of the patch, groups of channels, patches)
template <Precision P, int NT>
__global__ void __launch_bounds__(kThreads, blocks_per_multiprocessor<P, NT>) conv1x1x1_tensor(Arguments a) {
  using Tensor = TensorOperand<P>;
  using T = typename Tensor::Storage;
  constexpr int n_fragments = fragments_of<P, NT>;
  constexpr int words = 4 / Tensor::per_word, steps = words / 2;  // of a quad, and mma that they are for
  SR_SHARED(float, sums_scratch, [kWarps * 16 * NT]);

  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32, g = lane / 4, t = lane % 4;
  const int patch = static_cast<int>(blockIdx.z), group = static_cast<int>(blockIdx.y);
  const int part = static_cast<int>(blockIdx.x);
  const int voxels = a.x.size.d * a.x.size.h * a.x.size.w;
  const int first = (part * kWarps + warp) * 16 * n_fragments + g;
  const int first_channel = group * 8 * NT, n_channels = min(8 * NT, a.co - first_channel);

  float acc[n_fragments][NT][4];
  fill_with_bias(acc, a.bias ? a.bias + first_channel : nullptr, n_channels, t);

  // Those of the lane's quad.
  const StoredQuad<T>* x = quads_of<T>(a.x, a.x_first, patch) + int64_t{t} * voxels;
  const int64_t affine = patch * a.prologue.patch_stride + 4 * t;
  const float* scale = a.prologue.scale ? a.prologue.scale + affine : nullptr;
  const float* shift = a.prologue.scale ? a.prologue.shift + affine : nullptr;
  const int n_chunks = (a.ci + kChunk - 1) / kChunk, n_quads = a.ci / 4 - t;
  const uint2* weights = a.weights + int64_t{group} * n_chunks * steps * NT * 32 + lane;

  StoredQuad<T> next[n_fragments][2];
  load_chunk<T, n_fragments>(next, x, first, voxels, n_quads <= 0);
#pragma unroll 1
  for (int chunk = 0; chunk < n_chunks; chunk++) {
    uint32_t fragments[n_fragments][2][words];  // [][row][word]: of a step, words 2 step and 2 step + 1
    if (scale) {
      float scales[4], shifts[4];
#pragma unroll
      for (int c = 0; c < 4; c++) {
        scales[c] = 4 * chunk < n_quads ? scale[chunk * kChunk + c] : 0.0f;
        shifts[c] = 4 * chunk < n_quads ? shift[chunk * kChunk + c] : 0.0f;
      }
      const auto activate_all = [&](auto act) {
#pragma unroll
        for (int i = 0; i < n_fragments; i++)
#pragma unroll
          for (int row = 0; row < 2; row++) activated_words_of<P>(fragments[i][row], next[i][row], scales, shifts, act);
      };
      if (a.prologue.slope) {
        // Where there is no quad any slope will do: its numbers are zero.
        const float* slope = a.prologue.slope + (4 * chunk < n_quads ? chunk * kChunk + 4 * t : 0);
        activate_all([&](float value, int c) { return prelu(value, slope[c]); });
      } else {
        activate_all([](float value, int) { return elu(value); });
      }
    } else {
#pragma unroll
      for (int i = 0; i < n_fragments; i++)
#pragma unroll
        for (int row = 0; row < 2; row++) words_of<P>(fragments[i][row], next[i][row]);
    }
    if (chunk + 1 < n_chunks)
      load_chunk<T, n_fragments>(next, x + int64_t{4 * (chunk + 1)} * voxels, first, voxels,
                                 n_quads <= 4 * (chunk + 1));
#pragma unroll
    for (int step = 0; step < steps; step++)
#pragma unroll
      for (int tile = 0; tile < NT; tile++) {
        const uint2 loaded = __ldg(weights + (step * NT + tile) * 32);
        const uint32_t b[2] = {loaded.x, loaded.y};
#pragma unroll
        for (int i = 0; i < n_fragments; i++) {
          const uint32_t(&f)[2][words] = fragments[i];
          const uint32_t fragment[4] = {f[0][2 * step], f[1][2 * step], f[0][2 * step + 1], f[1][2 * step + 1]};
          Tensor::mma(acc[i][tile], fragment, b);
        }
      }
    weights += steps * NT * 32;
  }

  ColumnSums<NT> sums;
  StoredQuad<T>* y = quads_of<T>(a.y, a.y_first + first_channel, patch);
#pragma unroll
  for (int i = 0; i < n_fragments; i++)
#pragma unroll
    for (int row = 0; row < 2; row++) {
      const int voxel = first + 16 * i + 8 * row;
      if (voxel >= voxels) continue;
      store_row<NT>(y + voxel, voxels, acc[i], row, t, n_channels);
      sums.add_row(acc[i], row);
    }
  if (a.partial_sums)
    sums.store(sums_scratch, thread, kThreads, a.partial_sums, int64_t{patch} * a.co + first_channel, n_channels, part,
               static_cast<int>(gridDim.x));
}

template <Precision P, int NT>
void launch(const Arguments& a, Stream stream) {
  const dim3 grid(static_cast<unsigned>(blocks_of<P, NT>(a.x.size)), static_cast<unsigned>(groups_of(a.co)),
                  static_cast<unsigned>(a.x.n_patches));
  SR_LAUNCH((conv1x1x1_tensor<P, NT>), grid, dim3(kThreads), 0, stream, a);
}

}  // namespace

int conv1x1x1_tensor_parts(const ConvWeights& shape, Precision precision, Size3 patch) {
  return with_operand(precision, [&](auto p) {
    return with_n_tiles(shape.co, [&](auto n_tiles) { return blocks_of<p(), n_tiles()>(patch); });
  });
}

int64_t conv1x1x1_tensor_packed_bytes(const ConvWeights& s, Precision precision) {
  const int steps = precision == Precision::tf32 ? 2 : 1;
  return int64_t{groups_of(s.co)} * tiles(s.ci, kChunk) * steps * n_tiles_of(s.co) * 32 * int64_t{sizeof(uint2)};
}

void conv1x1x1_tensor_pack(const ConvWeights& conv, Precision precision, void* packed) {
  uint32_t* out = static_cast<uint32_t*>(packed);
  const int n_tiles = n_tiles_of(conv.co);
  with_operand(precision, [&](auto p) {
    using Tensor = TensorOperand<p()>;
    const auto weight = [&](int co, int ci) {
      return co < conv.co && ci < conv.ci ? conv.weight[int64_t{co} * conv.ci + ci] : 0.0f;
    };
    for (int group = 0; group < groups_of(conv.co); group++)
      for (int chunk = 0; chunk < tiles(conv.ci, kChunk); chunk++)
        for (int step = 0; step < 2 / Tensor::per_word; step++)
          for (int tile = 0; tile < n_tiles; tile++)
            for (int lane = 0; lane < 32; lane++)
              for (int half = 0; half < 2; half++) {
                const int co = (group * n_tiles) * 8 + channel_of_column(n_tiles, tile, lane / 4);
                const int ci = chunk * kChunk + lane % 4 * 4 + (2 * step + half) * Tensor::per_word;
                const float values[2] = {weight(co, ci), weight(co, ci + 1)};
                *out++ = Tensor::word(values);
              }
  });
}

Result conv1x1x1_tensor_forward(const Conv3dForward& f, Stream stream) {
  const Arguments a = arguments_of<uint2>(f);
  with_operand(f.precision,
               [&](auto p) { with_n_tiles(f.shape.co, [&](auto n_tiles) { launch<p(), n_tiles()>(a, stream); }); });
  return launched("convolution");
}

}  // namespace sr::cuda
