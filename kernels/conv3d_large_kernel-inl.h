// 5x5x5 and 9x9x9 convolution with all taps: the first and last layers of the baselines, of one input or one output
// channel each. Included once per SIMD target.
#if defined(SR_KERNELS_CONV3D_WIDE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SR_KERNELS_CONV3D_WIDE_INL_H
#undef SR_KERNELS_CONV3D_WIDE_INL_H
#else
#define SR_KERNELS_CONV3D_WIDE_INL_H
#endif

#include <algorithm>

#include "kernels/conv3d_epilogue-inl.h"
#include "kernels/multiply-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {

// Rows of outputs that a register block of one output channel holds.
constexpr int kLargeKernelRows = kManyRegisters ? 8 : 4;
static_assert(kLargeKernelBand % kLargeKernelRows == 0);

// product[r][v] (+)= sum over kz, ky, kx of weight[kz][ky][kx] x[kz plane + (r + ky) row + v + kx], for one input
// channel and kLargeKernelRows rows of one output channel. Each vector of x is loaded once for all rows that it counts
// for: with one output channel there is nothing else to share it with.
template <int kSize, int kVectors, class D>
HWY_NOINLINE void large_kernel_block(D d, const float* HWY_RESTRICT x, ptrdiff_t plane, ptrdiff_t row,
                                     const float* HWY_RESTRICT weight, bool accumulate_products,
                                     float* HWY_RESTRICT product) {
  using V = hn::Vec<D>;
  constexpr ptrdiff_t kLanes = static_cast<ptrdiff_t>(hn::MaxLanes(d));
  V sum[kLargeKernelRows][kVectors];
  if (accumulate_products) {
    SR_UNROLL for (int r = 0; r < kLargeKernelRows; r++) SR_UNROLL for (int v = 0; v < kVectors; v++) sum[r][v] =
        hn::LoadU(d, product + r * row + v * kLanes);
  } else {
    SR_UNROLL for (int r = 0; r < kLargeKernelRows; r++) SR_UNROLL for (int v = 0; v < kVectors; v++) sum[r][v] =
        hn::Zero(d);
  }
  for (int kz = 0; kz < kSize; kz++, x += plane, weight += kSize * kSize)
    for (int kx = 0; kx < kSize; kx++) {
      V w[kSize];
      SR_UNROLL for (int ky = 0; ky < kSize; ky++) w[ky] = hn::Set(d, weight[ky * kSize + kx]);
      SR_UNROLL for (int i = 0; i < kLargeKernelRows + kSize - 1; i++) {
        V column[kVectors];
        SR_UNROLL for (int v = 0; v < kVectors; v++) column[v] = hn::LoadU(d, x + i * row + kx + v * kLanes);
        SR_UNROLL for (int ky = 0; ky < kSize; ky++) {
          const int r = i - ky;
          if (r < 0 || r >= kLargeKernelRows) continue;
          SR_UNROLL for (int v = 0; v < kVectors; v++) accumulate(column[v], w[ky], sum[r][v]);
        }
      }
    }
  SR_UNROLL for (int r = 0; r < kLargeKernelRows; r++) SR_UNROLL for (int v = 0; v < kVectors; v++)
      hn::StoreU(sum[r][v], d, product + r * row + v * kLanes);
}

// An item's block of rows and planes, and one input channel's part of it with the neighbours that the taps reach,
// activated, in scratch.
template <int kSize>
class LargeKernelBlock {
 public:
  LargeKernelBlock(const ConvJob& job, int item, float* scratch)
      : job_(job), plan_(job.plan), layout_(job.f.layout), block_(scratch + plan_.ring_at) {
    const auto [d, h, w] = layout_.size;
    y0_ = item % plan_.n_bands * plan_.rows;
    y1_ = std::min(h, y0_ + plan_.rows);
    z0_ = item / plan_.n_bands * plan_.planes;
    z1_ = std::min(d, z0_ + plan_.planes);
    // Once: every channel writes the same rows, and what lies between and around them stays zero.
    std::fill_n(block_ - kMargin, plan_.ring + 2 * kMargin, 0.0f);
  }

 protected:
  static constexpr int kReach = kSize / 2;

  void fill(int c) const {
    const int z_end = std::min(layout_.size.d, z1_ + kReach), y_end = std::min(layout_.size.h, y1_ + kReach);
    for (int z = std::max(0, z0_ - kReach); z < z_end; z++)
      for (int y = std::max(0, y0_ - kReach); y < y_end; y++)
        activate(job_, c, job_.f.at(job_.x.first + c, z, y), layout_.row,
                 block_ + (z - z0_ + kReach) * plan_.band + (y - y0_ + kReach) * plan_.wide_row);
  }

  const ConvJob& job_;
  const ConvPlan& plan_;
  const Layout& layout_;
  float* block_;
  int y0_, y1_, z0_, z1_;  // the block
};

// Each input channel is multiplied while it is in the cache; the products of all output channels stay.
template <int kSize>
class LargeKernelItem : LargeKernelBlock<kSize> {
  using Block = LargeKernelBlock<kSize>;
  using Block::job_, Block::plan_, Block::layout_, Block::block_, Block::y0_, Block::y1_, Block::z0_, Block::z1_;
  using Block::kReach;

 public:
  LargeKernelItem(const ConvJob& job, int item, float* scratch, PartialSums* sums)
      : Block(job, item, scratch), sums_(sums), product_(scratch + plan_.product_at) {}

  void run() {
    for (int c = 0; c < job_.x.count; c++) {
      this->fill(c);
      for (int z = z0_; z < z1_; z++)
        if (job_.conv->co == 1)
          one_output(z - z0_, c);
        else
          all_outputs(z - z0_, c);
    }
    for (int co = 0; co < job_.y.count; co++)
      for (int z = z0_; z < z1_; z++)
        for (int y = y0_; y < y1_; y++)
          write_rows(job_, co, product(co, z - z0_) + (y - y0_) * plan_.wide_row, layout_.row,
                     z * layout_.plane + y * layout_.row, sums_[co]);
  }

 private:
  float* product(int co, int plane) const { return product_ + (co * plan_.planes + plane) * plan_.product; }

  template <int kVectors>
  void columns(int plane, int c, ptrdiff_t x) const {
    const Wide d;
    const float* weight = job_.conv->panel_weight(job_.conv->panels[0], 0, c);
    for (int y = 0; y < y1_ - y0_; y += kLargeKernelRows)
      large_kernel_block<kSize, kVectors>(d, block_ + plane * plan_.band + y * plan_.wide_row + x - kReach, plan_.band,
                                          plan_.wide_row, weight, c > 0, product(0, plane) + y * plan_.wide_row + x);
  }

  void one_output(int plane, int c) const {
    const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(Wide()));
    ptrdiff_t x = 0;
    for (; x + kBlockVectors * lanes <= plan_.wide_row; x += kBlockVectors * lanes) columns<kBlockVectors>(plane, c, x);
    for (; x < plan_.wide_row; x += lanes) columns<1>(plane, c, x);
  }

  void all_outputs(int plane, int c) const {
    ptrdiff_t row[kSize * kSize];
    for (int kz = 0; kz < kSize; kz++)
      for (int ky = 0; ky < kSize; ky++) row[kz * kSize + ky] = kz * plan_.band + ky * plan_.wide_row;
    const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(Wide()));
    const Multiplication m = {.operand = block_ + plane * plan_.band,
                              .operand_stride = 0,
                              .row = row,
                              .n_channels = 1,
                              .product = product(0, plane),
                              .product_stride = plan_.planes * plan_.product,
                              .n_vectors = static_cast<int>(((y1_ - y0_) * plan_.wide_row + lanes - 1) / lanes),
                              .accumulate = c > 0};
    Ahead nothing;
    multiply<kSize * kSize, kSize>(m, *job_.conv, 0, c, nothing);
  }

  PartialSums* sums_;
  float* product_;
};

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
