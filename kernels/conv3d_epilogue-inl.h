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

// Where results go, on vectors. `at`: where in the output channel i = 0 lies.
//   forward   y = product + bias on voxels, 0 on padding lanes; sums of y and of y^2
template <class D>
class ForwardEpilogue {
 public:
  HWY_INLINE ForwardEpilogue(D d, const ConvJob& job, int co, ptrdiff_t at)
      : y_(job.f.at(job.y.first + co) + at), bias_(hn::Set(d, job.conv->bias[static_cast<size_t>(co)])), sums_(d) {}
  HWY_INLINE void put(D d, hn::Vec<D> product, hn::Vec<D> mask, ptrdiff_t i) {
    const auto value = hn::And(hn::Add(product, bias_), mask);
    hn::StoreU(value, d, y_ + i);
    sums_.add(value);
  }
  HWY_INLINE void flush(D d, ChannelSums& to) const { sums_.flush(d, to); }

 private:
  float* y_;
  hn::Vec<D> bias_;
  LaneSums<D> sums_;
};

//   backward  product is da: dt = da elu'(scale x + shift), y (+)= scale dt; sums of dt and of dt x
// (kernels/conv3d_backward.h). Without kPrologue dt = da and scale = 1.
template <bool kPrologue, class D>
class BackwardEpilogue {
 public:
  HWY_INLINE BackwardEpilogue(D d, const ConvJob& job, int co, ptrdiff_t at)
      : y_(job.f.at(job.y.first + co) + at),
        x_(job.backward->features + (job.y.first + co) * job.f.layout.channel + at),
        accumulate_(job.backward->accumulate),
        scale_(hn::Set(d, kPrologue ? job.backward->prologue.scale[co] : 1.0f)),
        shift_(hn::Set(d, kPrologue ? job.backward->prologue.shift[co] : 0.0f)),
        sum_(hn::Zero(d)),
        sum_times_x_(hn::Zero(d)) {}
  HWY_INLINE void put(D d, hn::Vec<D> product, hn::Vec<D> mask, ptrdiff_t i) {
    auto dt = hn::And(product, mask);
    const auto x = hn::LoadU(d, x_ + i);
    if constexpr (kPrologue) {
      // elu'(t) = exp(t) = elu(t) + 1 for t < 0, and 1 = elu(0) + 1 above.
      const auto t = hn::Min(hn::MulAdd(x, scale_, shift_), hn::Zero(d));
      dt = hn::MulAdd(dt, elu(d, t), dt);
    }
    sum_ = hn::Add(sum_, dt);
    sum_times_x_ = hn::MulAdd(dt, x, sum_times_x_);
    if constexpr (kPrologue) dt = hn::Mul(dt, scale_);
    if (accumulate_) dt = hn::Add(dt, hn::LoadU(d, y_ + i));
    hn::StoreU(dt, d, y_ + i);
  }
  HWY_INLINE void flush(D d, ChannelSums& to) const {
    to.sum += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum_)));
    to.sum_of_squares += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum_times_x_)));
  }

 private:
  float* y_;
  const float* x_;
  bool accumulate_;
  hn::Vec<D> scale_, shift_, sum_, sum_times_x_;
};
template <class D>
using BackwardNormElu = BackwardEpilogue<true, D>;
template <class D>
using BackwardPlain = BackwardEpilogue<false, D>;

template <class Epilogue, class D>
HWY_INLINE ptrdiff_t write_vectors(D d, const ConvJob& job, int co, const float* HWY_RESTRICT product, ptrdiff_t i,
                                   ptrdiff_t end, ptrdiff_t at, ChannelSums& sums) {
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  Epilogue epilogue(d, job, co, at);
  for (; i + lanes <= end; i += lanes) epilogue.put(d, hn::LoadU(d, product + i), hn::LoadU(d, job.mask + i), i);
  epilogue.flush(d, sums);
  return i;
}

template <template <class> class Epilogue>
HWY_INLINE void write_rows_as(const ConvJob& job, int co, const float* product, ptrdiff_t n, ptrdiff_t at,
                              ChannelSums& sums) {
  const ptrdiff_t i = write_vectors<Epilogue<Wide>>(Wide(), job, co, product, 0, n, at, sums);
  if (i < n) write_vectors<Epilogue<Narrow>>(Narrow(), job, co, product, i, n, at, sums);
}

// A run of n products (whole rows) to output channel co, from `at` on.
HWY_INLINE void write_rows(const ConvJob& job, int co, const float* product, ptrdiff_t n, ptrdiff_t at,
                           ChannelSums& sums) {
  if (!job.backward)
    write_rows_as<ForwardEpilogue>(job, co, product, n, at, sums);
  else if (job.backward->prologue.scale)
    write_rows_as<BackwardNormElu>(job, co, product, n, at, sums);
  else
    write_rows_as<BackwardPlain>(job, co, product, n, at, sums);
}

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
