// What the convolutions on tensor cores share: operand types, the channel that a lane's accumulators belong to, and the
// way out. Fragments: kernels/cuda/ptx.h; g = lane / 4, t = lane % 4.
//
// A = 16 voxels of activated input, B = weights of 8 output channels (an n-tile). So channels are padded to a multiple
// of 8 - the other way round, with the weights as A, k = 8 and 24 would be padded to 16 and 32 - and a lane's
// accumulators are channels of one voxel, which is how features lie in memory.
#pragma once

#include <cstring>
#include <type_traits>

#include "kernels/cuda/ptx.h"
#include "kernels/cuda/quads.cuh"

namespace sr::cuda {

// One precision on tensor cores. A register ("word") of a fragment holds `per_word` consecutive values of k; an mma
// takes 8 words of k.
template <Precision P>
struct TensorOperand;

template <>
struct TensorOperand<Precision::f16> {
  using Storage = __half;
  static constexpr int per_word = 2;
  static __host__ __device__ uint32_t word(const float* v) {
    const __half2 pair = __floats2half2_rn(v[0], v[1]);
    uint32_t bits;
    memcpy(&bits, &pair, sizeof bits);
    return bits;
  }
  static __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16_f16(d, a, b);
  }
};

template <>
struct TensorOperand<Precision::bf16> {
  using Storage = __nv_bfloat16;
  static constexpr int per_word = 2;
  static __host__ __device__ uint32_t word(const float* v) {
    const __nv_bfloat162 pair = __floats2bfloat162_rn(v[0], v[1]);
    uint32_t bits;
    memcpy(&bits, &pair, sizeof bits);
    return bits;
  }
  static __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16_bf16(d, a, b);
  }
};

template <>
struct TensorOperand<Precision::tf32> {
  using Storage = float;
  static constexpr int per_word = 1;
  // As cvt.rna.tf32.f32, which the host has not: to the nearest multiple of 2^13 units in the last place, ties away.
  static __host__ __device__ uint32_t word(const float* v) {
    uint32_t bits;
    memcpy(&bits, v, sizeof bits);
    return (bits + 0x1000u) & 0xffffe000u;
  }
  static __device__ __forceinline__ void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::mma_m16n8k8_tf32(d, a, b);
  }
};

// f(std::integral_constant<Precision, P>) for a precision that has an operand.
template <class F>
auto with_operand(Precision precision, F f) {
  if (precision == Precision::f16) return f(std::integral_constant<Precision, Precision::f16>());
  if (precision == Precision::bf16) return f(std::integral_constant<Precision, Precision::bf16>());
  return f(std::integral_constant<Precision, Precision::tf32>());
}

// A quad as it is stored, past L1, which is left to what many blocks read.
template <class T>
__device__ __forceinline__ StoredQuad<T> load_through_l2(const StoredQuad<T>* p) {
  using Bits = std::conditional_t<sizeof(StoredQuad<T>) == 8, uint2, uint4>;
  const Bits bits = __ldcg(reinterpret_cast<const Bits*>(p));
  StoredQuad<T> quad;
  memcpy(&quad, &bits, sizeof quad);
  return quad;
}

// A quad as words of a fragment.
template <Precision P>
__device__ __forceinline__ void words_of(uint32_t (&words)[4 / TensorOperand<P>::per_word],
                                         const StoredQuad<typename TensorOperand<P>::Storage>& quad) {
  if constexpr (TensorOperand<P>::per_word == 2) {
    memcpy(words, &quad, sizeof words);  // stored as it is multiplied
  } else {
#pragma unroll
    for (int i = 0; i < 4; i++) words[i] = TensorOperand<P>::word(&quad.c[i]);
  }
}
// act(scale x + shift) of it; act(t, c) is told the channel, 0 to 3.
template <Precision P, class Act>
__device__ __forceinline__ void activated_words_of(uint32_t (&words)[4 / TensorOperand<P>::per_word],
                                                   const StoredQuad<typename TensorOperand<P>::Storage>& quad,
                                                   const float* scale, const float* shift, Act act) {
  float a[4];
#pragma unroll
  for (int c = 0; c < 4; c++) a[c] = act(fmaf(scale[c], to_float(quad.c[c]), shift[c]), c);
#pragma unroll
  for (int i = 0; i < 4 / TensorOperand<P>::per_word; i++)
    words[i] = TensorOperand<P>::word(a + i * TensorOperand<P>::per_word);
}

// ---- Which channel a column is ----
//
// The order of columns is ours to choose. Two n-tiles share 16 channels so that a lane, which has columns 2t and 2t + 1
// of each, has a whole quad: 4t, 4t + 1 in the first and 4t + 2, 4t + 3 in the second. An odd last n-tile is in order,
// half a quad a lane.
__host__ __device__ constexpr bool in_a_pair(int n_tiles, int tile) {
  return tile / 2 * 2 + 1 < n_tiles;
}
__host__ __device__ constexpr int channel_of_column(int n_tiles, int tile, int column) {
  return in_a_pair(n_tiles, tile) ? 16 * (tile / 2) + 4 * (column / 2) + 2 * (tile % 2) + column % 2
                                  : 8 * tile + column;
}

// Accumulators of 16 voxels and NT n-tiles: [tile][2 row + i], row 0 is voxel g of the 16, row 1 voxel g + 8.
template <int NT>
using Accumulators = float[NT][4];

// All voxels' accumulators start as the bias; n_channels are in the layer.
template <int NT, int N>
__device__ __forceinline__ void fill_with_bias(float (&acc)[N][NT][4], const float* bias, int n_channels, int t) {
#pragma unroll
  for (int tile = 0; tile < NT; tile++)
#pragma unroll
    for (int i = 0; i < 2; i++) {
      const int channel = channel_of_column(NT, tile, 2 * t + i);
      const float b = bias && channel < n_channels ? bias[channel] : 0.0f;
#pragma unroll
      for (int voxels = 0; voxels < N; voxels++) acc[voxels][tile][i] = acc[voxels][tile][2 + i] = b;
    }
}

// Half a quad.
template <class T>
struct alignas(2 * sizeof(T)) StoredPair {
  T c[2];
};

// Writes one row of the accumulators to the quads of its voxel. y: of channel 0; the first n_channels are written.
template <int NT, class T>
__device__ __forceinline__ void store_row(StoredQuad<T>* y, int64_t voxels, const Accumulators<NT>& acc, int row, int t,
                                          int n_channels) {
#pragma unroll
  for (int tile = 0; tile < NT; tile++) {
    const int channel = channel_of_column(NT, tile, 2 * t);
    if (channel >= n_channels) continue;
    StoredQuad<T>* quad = y + channel / 4 * voxels;
    const float* c = &acc[tile][2 * row];
    if (!in_a_pair(NT, tile)) {
      reinterpret_cast<StoredPair<T>*>(quad)[t % 2] = {from_float<T>(c[0]), from_float<T>(c[1])};
    } else if (tile % 2 == 0) {
      const float four[4] = {c[0], c[1], acc[(tile + 1) % NT][2 * row], acc[(tile + 1) % NT][2 * row + 1]};
      store_quad(quad, four);
    }
  }
}

// Sums and sums of squares of a lane's columns.
template <int NT>
struct ColumnSums {
  float sum[NT][2] = {}, squares[NT][2] = {};

  __device__ __forceinline__ void add_row(const Accumulators<NT>& acc, int row) {
#pragma unroll
    for (int tile = 0; tile < NT; tile++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
        const float v = acc[tile][2 * row + i];
        sum[tile][i] += v;
        squares[tile][i] = fmaf(v, v, squares[tile][i]);
      }
  }

  // Adds those of a block's threads in a fixed order and writes them to its part of partial_sums (kernels/cuda/api.h).
  // scratch: shared memory, 16 NT floats a warp. All threads of the block take part.
  __device__ __forceinline__ void store(float* scratch, int thread, int n_threads, float* partial_sums,
                                        int64_t first_channel, int n_channels, int part, int n_parts) {
    const int lane = thread & 31, warp = thread >> 5;
#pragma unroll
    for (int tile = 0; tile < NT; tile++)
#pragma unroll
      for (int i = 0; i < 2; i++) {
#pragma unroll
        for (int step = 16; step >= 4; step /= 2) {  // over g
          sum[tile][i] += __shfl_xor_sync(0xffffffffu, sum[tile][i], step);
          squares[tile][i] += __shfl_xor_sync(0xffffffffu, squares[tile][i], step);
        }
        if (lane < 4) {
          float* p = scratch + (warp * 8 * NT + channel_of_column(NT, tile, 2 * lane + i)) * 2;
          p[0] = sum[tile][i];
          p[1] = squares[tile][i];
        }
      }
    __syncthreads();
    for (int i = thread; i < 2 * n_channels; i += n_threads) {
      float total = scratch[i];
      for (int w = 1; w < n_threads / 32; w++) total += scratch[w * 16 * NT + i];
      partial_sums[((first_channel + i / 2) * n_parts + part) * 2 + i % 2] = total;
    }
  }
};

}  // namespace sr::cuda
