// The way in and out of the convolutions: rows activated, products written with bias, mask and channel sums. Included
// once per SIMD target.
#if defined(SR_KERNELS_CONV3D_EPILOGUE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SR_KERNELS_CONV3D_EPILOGUE_INL_H
#undef SR_KERNELS_CONV3D_EPILOGUE_INL_H
#else
#define SR_KERNELS_CONV3D_EPILOGUE_INL_H
#endif

#include <hwy/highway.h>

#include "kernels/conv3d_impl.h"
#include "kernels/elu-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Rows are multiples of 8 floats. Loops run in the widest vectors, then finish in these: with AVX-512 that is one more
// vector of 8, on narrower targets there is nothing left to do.
using Wide = hn::ScalableTag<float>;
using Narrow = hn::CappedTag<float, 8>;

// Sums of one output channel in lanes, moved to double before they grow long.
template <class D>
struct LaneSums {
  hn::Vec<D> sum, squares;
  explicit LaneSums(D d) : sum(hn::Zero(d)), squares(hn::Zero(d)) {}
  HWY_INLINE void add(hn::Vec<D> y) {
    sum = hn::Add(sum, y);
    squares = hn::MulAdd(y, y, squares);
  }
  HWY_INLINE void flush(D d, ChannelSums& to) const {
    to.sum += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
    to.sum_of_squares += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, squares)));
  }
};

// to[i] = elu(scale * x[i] + shift) for i in [i, end). Returns where it stopped.
template <class D>
HWY_INLINE ptrdiff_t activate_vectors(D d, const float* HWY_RESTRICT x, float scale, float shift, ptrdiff_t i,
                                      ptrdiff_t end, float* HWY_RESTRICT to) {
  const auto a = hn::Set(d, scale), b = hn::Set(d, shift);
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  for (; i + lanes <= end; i += lanes) hn::StoreU(elu(d, hn::MulAdd(hn::LoadU(d, x + i), a, b)), d, to + i);
  return i;
}

// A run of whole rows of input channel c of the job, activated (or copied, without a prologue), with zeros in the
// padding lanes: padding is zero after the activation. x points into it.
HWY_INLINE void activate(const ConvJob& job, int c, const float* x, ptrdiff_t n, float* to) {
  if (!job.prologue.scale) {
    std::copy_n(x, n, to);
    return;
  }
  const float scale = job.prologue.scale[c], shift = job.prologue.shift[c];
  const ptrdiff_t i = activate_vectors(Wide(), x, scale, shift, 0, n, to);
  activate_vectors(Narrow(), x, scale, shift, i, n, to);
  const Layout& layout = job.f.layout;
  for (ptrdiff_t row = 0; row < n; row += layout.row)
    for (ptrdiff_t k = layout.size.w; k < layout.row; k++) to[row + k] = 0;
}

template <class D>
HWY_INLINE ptrdiff_t write_vectors(D d, const float* HWY_RESTRICT product, float bias, const float* HWY_RESTRICT mask,
                                   ptrdiff_t i, ptrdiff_t end, float* HWY_RESTRICT y, ChannelSums& sums) {
  const auto b = hn::Set(d, bias);
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  LaneSums<D> lane_sums(d);
  for (; i + lanes <= end; i += lanes) {
    const auto value = hn::And(hn::Add(hn::LoadU(d, product + i), b), hn::LoadU(d, mask + i));
    hn::StoreU(value, d, y + i);
    lane_sums.add(value);
  }
  lane_sums.flush(d, sums);
  return i;
}

// y = product + bias on voxels, 0 on padding lanes, for a run of n floats (whole rows).
HWY_INLINE void write_rows(const ConvJob& job, int co, const float* product, ptrdiff_t n, float* y, ChannelSums& sums) {
  const float bias = job.conv->bias[static_cast<size_t>(co)];
  const ptrdiff_t i = write_vectors(Wide(), product, bias, job.mask, 0, n, y, sums);
  if (i < n) write_vectors(Narrow(), product, bias, job.mask, i, n, y, sums);
}

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
