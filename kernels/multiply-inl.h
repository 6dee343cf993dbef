// The multiplication that all convolutions end in: a small matrix product over input channels and taps, whose columns
// are neighbouring voxels. Included once per SIMD target.
#if defined(SR_KERNELS_MULTIPLY_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SR_KERNELS_MULTIPLY_INL_H
#undef SR_KERNELS_MULTIPLY_INL_H
#else
#define SR_KERNELS_MULTIPLY_INL_H
#endif

#include <hwy/highway.h>

#include "kernels/conv3d_impl.h"

#define SR_UNROLL _Pragma("GCC unroll 16")

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// AVX-512 and NEON have 32 vector registers, SSE4 and AVX2 have 16.
#if HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON
constexpr bool kManyRegisters = true;
#else
constexpr bool kManyRegisters = false;
#endif

// product[c][v] (+)= sum over channels, rows r, taps t of weight[channel][r][t][c] * operand[channel][row[r] + v + t -
// taps/2]
struct Multiplication {
  const float* operand;
  ptrdiff_t operand_stride;  // from channel to channel
  const ptrdiff_t* row;      // kRows offsets
  int n_channels;
  float* product;
  ptrdiff_t product_stride;  // from output channel to output channel
  int n_vectors;             // columns, in vectors
  bool accumulate;           // add to product instead of writing it
  // One cache line per channel is fetched by each pass over the channels, a line further each time.
  const float* prefetch = nullptr;
  ptrdiff_t prefetch_stride = 0;
};

// A register block: kOutputs x kVectors accumulators. All indices into them are known at compile time; one that is not
// would send them all to memory.
template <int kOutputs, int kVectors, int kRows, int kTaps, class D>
HWY_NOINLINE void multiply_block(D d, const Multiplication& m, const float* HWY_RESTRICT weight, int width,
                                 ptrdiff_t column, float* HWY_RESTRICT product) {
  using V = hn::Vec<D>;
  constexpr ptrdiff_t kLanes = static_cast<ptrdiff_t>(hn::MaxLanes(d));
  const ptrdiff_t product_stride = m.product_stride, operand_stride = m.operand_stride;
  V sum[kOutputs][kVectors];
  if (m.accumulate) {
    SR_UNROLL for (int c = 0; c < kOutputs; c++) SR_UNROLL for (int v = 0; v < kVectors; v++) sum[c][v] =
        hn::Load(d, product + c * product_stride + v * kLanes);
  } else {
    SR_UNROLL for (int c = 0; c < kOutputs; c++) SR_UNROLL for (int v = 0; v < kVectors; v++) sum[c][v] = hn::Zero(d);
  }

  const float* HWY_RESTRICT channel = m.operand + column - kTaps / 2;
  for (int i = 0; i < m.n_channels; i++, channel += operand_stride)
    for (int r = 0; r < kRows; r++) {
      const float* HWY_RESTRICT x = channel + m.row[r];
      SR_UNROLL for (int t = 0; t < kTaps; t++) {
        V column_of[kVectors];
        SR_UNROLL for (int v = 0; v < kVectors; v++) column_of[v] = hn::LoadU(d, x + t + v * kLanes);
        SR_UNROLL for (int c = 0; c < kOutputs; c++) {
          const V w = hn::Set(d, weight[c]);
          SR_UNROLL for (int v = 0; v < kVectors; v++) sum[c][v] = hn::MulAdd(column_of[v], w, sum[c][v]);
        }
        weight += width;
      }
    }

  SR_UNROLL for (int c = 0; c < kOutputs; c++) SR_UNROLL for (int v = 0; v < kVectors; v++)
      hn::Store(sum[c][v], d, product + c * product_stride + v * kLanes);
}

// The columns that are left over when n_vectors is not a multiple of the block: blocks of fewer vectors.
template <int kOutputs, int kVectors, int kRows, int kTaps, class D>
HWY_INLINE void multiply_rest(D d, const Multiplication& m, const float* weight, int width, ptrdiff_t column,
                              float* product, int rest) {
  if constexpr (kVectors > 0) {
    if (rest == kVectors)
      multiply_block<kOutputs, kVectors, kRows, kTaps>(d, m, weight, width, column, product);
    else
      multiply_rest<kOutputs, kVectors - 1, kRows, kTaps>(d, m, weight, width, column, product, rest);
  }
}

// Columns outside, output channels inside: a column's operands stay in L1 while all outputs read them.
template <int kOutputs, int kVectors, int kRows, int kTaps, class D>
HWY_INLINE void multiply_panel(D d, const Multiplication& m, const float* weight, const Panel& panel) {
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  for (int v = 0; v < m.n_vectors; v += kVectors)
    for (int c = 0; c < panel.width; c += kOutputs) {
      float* product = m.product + (panel.first + c) * m.product_stride + v * lanes;
      if (v + kVectors <= m.n_vectors)
        multiply_block<kOutputs, kVectors, kRows, kTaps>(d, m, weight + c, panel.width, v * lanes, product);
      else
        multiply_rest<kOutputs, kVectors - 1, kRows, kTaps>(d, m, weight + c, panel.width, v * lanes, product,
                                                            m.n_vectors - v);
    }
}

// All output channels. first_channel: that of m.operand among the layer's input channels.
template <int kRows, int kTaps>
HWY_INLINE void multiply(const Multiplication& m, const PackedConv::Impl& conv, int point, int first_channel) {
  const hn::ScalableTag<float> d;
  for (const Panel& panel : conv.panels) {
    const float* weight = conv.panel_weight(panel, point, first_channel);
    if (panel.width == 1)
      multiply_panel<1, 8, kRows, kTaps>(d, m, weight, panel);
    else if (kManyRegisters && panel.width % 12 == 0)
      multiply_panel<12, 2, kRows, kTaps>(d, m, weight, panel);
    else if (kManyRegisters && panel.width % 8 == 0)
      multiply_panel<8, 3, kRows, kTaps>(d, m, weight, panel);
    else
      multiply_panel<4, 3, kRows, kTaps>(d, m, weight,
                                         panel);  // 12 accumulators, 3 operands and a weight: 16 registers
  }
}

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
