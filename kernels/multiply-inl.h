// The multiplication that all convolutions end in: a small matrix product over input channels and taps, whose columns
// are neighbouring voxels. Included once per SIMD target.
#if defined(SR_KERNELS_MULTIPLY_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SR_KERNELS_MULTIPLY_INL_H
#undef SR_KERNELS_MULTIPLY_INL_H
#else
#define SR_KERNELS_MULTIPLY_INL_H
#endif

#include <hwy/highway.h>

#include <algorithm>

#include "kernels/conv3d_impl.h"

#define SR_UNROLL _Pragma("GCC unroll 16")

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// AVX-512 and 64-bit ARM (all of Highway's kinds of NEON) have 32 vector registers, SSE4 and AVX2 have 16.
#if HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64
constexpr bool kManyRegisters = true;
#else
constexpr bool kManyRegisters = false;
#endif

// Columns of a register block, in vectors. With 16 registers: 3 columns, times 4 outputs, are 12 accumulators, which
// leaves 3 registers for the operands and one for a weight. With 32: 2 columns times 12 (or 8) outputs.
constexpr int kBlockVectors = kManyRegisters ? 2 : 3;

// Memory that is needed after this multiplication, fetched into L2 while it runs: of each channel, n_runs runs of
// n_lines cache lines. The hardware's prefetchers do not see it coming: it is a short run in each of many channels.
struct Ahead {
  const float* run = nullptr;  // of the first channel
  ptrdiff_t channel_stride = 0, run_stride = 0;
  int n_runs = 0, n_lines = 0;
  int pace = 1;  // one line (of every channel) is fetched by every pace-th register block
  int line = 0, block = 0;

  // Spreads the lines over the blocks to come: fetched all at once, they would hold up the loads in between.
  void spread(int n_blocks) { pace = std::max(1, n_blocks / std::max(1, n_runs * n_lines)); }

  // The next line, of the first channel; null if it is not this block's turn, or at the end.
  const float* next() {
    if (n_runs == 0 || ++block % pace != 0) return nullptr;
    const float* at = run + line * 16;
    if (++line == n_lines) {
      line = 0;
      run += run_stride;
      n_runs--;
    }
    return at;
  }
};

// product[c][v] (+)= sum over channels, rows r, taps t of
//                    weight[channel][r][t][c] * operand[channel][row[r] + v + t - kTaps / 2]
struct Multiplication {
  const float* operand;
  ptrdiff_t operand_stride;  // from channel to channel
  const ptrdiff_t* row;      // kRows offsets
  int n_channels;
  float* product;
  ptrdiff_t product_stride;  // from output channel to output channel
  int n_vectors;             // columns, in vectors
  bool accumulate;           // add to product instead of writing it
};

// sum += a * b. Spelt out where GCC is the compiler: left to itself, GCC 12 uses all three forms of the instruction, so
// that accumulators wander through the registers until two of twelve live in memory (a tenth of the speed).
template <class V>
HWY_INLINE void accumulate(V a, V b, V& sum) {
#if HWY_COMPILER_GCC_ACTUAL && (HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_AVX3)
  asm("vfmadd231ps %2, %1, %0" : "+v"(sum.raw) : "v"(a.raw), "v"(b.raw));
#else
  sum = hwy::HWY_NAMESPACE::MulAdd(a, b, sum);
#endif
}

// A register block: kOutputs x kVectors accumulators. All indices into them are known at compile time; one that is not
// would send them all to memory.
template <int kOutputs, int kVectors, int kRows, int kTaps, class D>
HWY_NOINLINE void multiply_block(D d, const Multiplication& m, const float* HWY_RESTRICT operand,
                                 const float* HWY_RESTRICT weight, int width, float* HWY_RESTRICT product,
                                 Ahead& ahead) {
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

  const float* line = ahead.next();
  const ptrdiff_t line_stride = line ? ahead.channel_stride : 0;
  if (!line) line = operand;
  operand -= kTaps / 2;
  for (int i = 0; i < m.n_channels; i++, operand += operand_stride, line += line_stride) {
    __builtin_prefetch(line, 0, 2);
    for (int r = 0; r < kRows; r++) {
      const float* HWY_RESTRICT x = operand + m.row[r];
      SR_UNROLL for (int t = 0; t < kTaps; t++) {
        V column_of[kVectors];
        SR_UNROLL for (int v = 0; v < kVectors; v++) column_of[v] = hn::LoadU(d, x + t + v * kLanes);
        SR_UNROLL for (int c = 0; c < kOutputs; c++) {
          const V w = hn::Set(d, weight[c]);
          SR_UNROLL for (int v = 0; v < kVectors; v++) accumulate(column_of[v], w, sum[c][v]);
        }
        weight += width;
      }
    }
  }

  SR_UNROLL for (int c = 0; c < kOutputs; c++) SR_UNROLL for (int v = 0; v < kVectors; v++)
      hn::Store(sum[c][v], d, product + c * product_stride + v * kLanes);
}

// The columns that are left over when n_vectors is not a multiple of the block: a block of fewer vectors.
template <int kOutputs, int kVectors, int kRows, int kTaps, class D>
HWY_INLINE void multiply_rest(D d, const Multiplication& m, const float* operand, const float* weight, int width,
                              float* product, Ahead& ahead, int rest) {
  if constexpr (kVectors > 0) {
    if (rest == kVectors)
      multiply_block<kOutputs, kVectors, kRows, kTaps>(d, m, operand, weight, width, product, ahead);
    else
      multiply_rest<kOutputs, kVectors - 1, kRows, kTaps>(d, m, operand, weight, width, product, ahead, rest);
  }
}

// Columns outside, output channels inside: a column's operands stay in L1 while all outputs read them.
template <int kOutputs, int kVectors, int kRows, int kTaps, class D>
HWY_INLINE void multiply_panel(D d, const Multiplication& m, const float* weight, const Panel& panel, Ahead& ahead) {
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  const float* operand = m.operand;
  for (int v = 0; v < m.n_vectors; v += kVectors, operand += kVectors * lanes)
    for (int c = 0; c < panel.width; c += kOutputs) {
      float* product = m.product + (panel.first + c) * m.product_stride + v * lanes;
      if (v + kVectors <= m.n_vectors)
        multiply_block<kOutputs, kVectors, kRows, kTaps>(d, m, operand, weight + c, panel.width, product, ahead);
      else
        multiply_rest<kOutputs, kVectors - 1, kRows, kTaps>(d, m, operand, weight + c, panel.width, product, ahead,
                                                            m.n_vectors - v);
    }
}

// Outputs of a register block in a panel of the given width.
constexpr int block_outputs(int panel_width) {
  if (panel_width == 1) return 1;
  if (kManyRegisters && panel_width % 12 == 0) return 12;
  if (kManyRegisters && panel_width % 8 == 0) return 8;
  return 4;
}

// Register blocks in a multiplication of n_vectors columns, all outputs.
HWY_INLINE int n_blocks(const PackedConv::Impl& conv, int n_vectors) {
  int n = 0;
  for (const Panel& panel : conv.panels) n += panel.width / block_outputs(panel.width);
  return n * (n_vectors / kBlockVectors);
}

// All output channels. first_channel: that of m.operand among the layer's input channels.
template <int kRows, int kTaps>
HWY_INLINE void multiply(const Multiplication& m, const PackedConv::Impl& conv, int point, int first_channel,
                         Ahead& ahead) {
  const hn::ScalableTag<float> d;
  for (const Panel& panel : conv.panels) {
    const float* weight = conv.panel_weight(panel, point, first_channel);
    const int outputs = block_outputs(panel.width);
    if (outputs == 1)
      multiply_panel<1, kTaps == 1 ? kBlockVectors : 8, kRows, kTaps>(d, m, weight, panel, ahead);
    else if (outputs == 12)
      multiply_panel<kManyRegisters ? 12 : 4, kBlockVectors, kRows, kTaps>(d, m, weight, panel, ahead);
    else if (outputs == 8)
      multiply_panel<kManyRegisters ? 8 : 4, kBlockVectors, kRows, kTaps>(d, m, weight, panel, ahead);
    else
      multiply_panel<4, kBlockVectors, kRows, kTaps>(d, m, weight, panel, ahead);
  }
}

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
