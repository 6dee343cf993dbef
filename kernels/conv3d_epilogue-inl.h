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
  HWY_INLINE void flush(D d, PartialSums& to) const {
    to.first += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum)));
    to.second += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, squares)));
  }
};

// What is done to the numbers of an input channel, and the way back: da -> dt.
template <class D>
struct Plain {
  using V = hn::Vec<D>;
  HWY_INLINE Plain(D, Prologue<float>, int) {}
  HWY_INLINE V operator()(D, V x) const { return x; }
  HWY_INLINE V backward(D, V da, V /*x*/, V& /*sum_of_slope*/) const { return da; }
  HWY_INLINE V times_scale(V dt) const { return dt; }
};
template <class D>
struct NormElu {
  using V = hn::Vec<D>;
  V scale, shift;
  HWY_INLINE NormElu(D d, Prologue<float> p, int c) : scale(hn::Set(d, p.scale[c])), shift(hn::Set(d, p.shift[c])) {}
  HWY_INLINE V operator()(D d, V x) const { return elu(d, hn::MulAdd(x, scale, shift)); }
  HWY_INLINE V backward(D d, V da, V x, V& /*sum_of_slope*/) const {
    // elu'(t) = exp(t) = elu(t) + 1 for t < 0, and 1 = elu(0) + 1 above.
    const V t = hn::Min(hn::MulAdd(x, scale, shift), hn::Zero(d));
    return hn::MulAdd(da, elu(d, t), da);
  }
  HWY_INLINE V times_scale(V dt) const { return hn::Mul(dt, scale); }
};
template <class D>
struct NormPRelu {
  using V = hn::Vec<D>;
  V scale, shift, slope;
  HWY_INLINE NormPRelu(D d, Prologue<float> p, int c)
      : scale(hn::Set(d, p.scale[c])), shift(hn::Set(d, p.shift[c])), slope(hn::Set(d, p.slope[c])) {}
  HWY_INLINE V operator()(D, V x) const {
    const V t = hn::MulAdd(x, scale, shift);
    return hn::IfNegativeThenElse(t, hn::Mul(t, slope), t);
  }
  HWY_INLINE V backward(D d, V da, V x, V& sum_of_slope) const {
    const V t = hn::MulAdd(x, scale, shift);
    sum_of_slope = hn::MulAdd(da, hn::Min(t, hn::Zero(d)), sum_of_slope);
    return hn::IfNegativeThenElse(t, hn::Mul(da, slope), da);
  }
  HWY_INLINE V times_scale(V dt) const { return hn::Mul(dt, scale); }
};

// to[i] = activation(x[i]) for i in [i, end). Returns where it stopped.
template <template <class> class Activation, class D>
HWY_INLINE ptrdiff_t activate_vectors(D d, const float* HWY_RESTRICT x, Prologue<float> prologue, int c, ptrdiff_t i,
                                      ptrdiff_t end, float* HWY_RESTRICT to) {
  const Activation<D> activation(d, prologue, c);
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  for (; i + lanes <= end; i += lanes) hn::StoreU(activation(d, hn::LoadU(d, x + i)), d, to + i);
  return i;
}

template <template <class> class Activation>
HWY_INLINE void activate_run(const float* x, Prologue<float> prologue, int c, ptrdiff_t n, float* to) {
  const ptrdiff_t i = activate_vectors<Activation>(Wide(), x, prologue, c, 0, n, to);
  activate_vectors<Activation>(Narrow(), x, prologue, c, i, n, to);
}

// A run of whole rows of input channel c of the job, activated (or copied, without a prologue), with zeros in the
// padding lanes: padding is zero after the activation. x points into it.
HWY_INLINE void activate(const ConvJob& job, int c, const float* x, ptrdiff_t n, float* to) {
  if (!job.prologue.scale) {
    std::copy_n(x, n, to);
    return;
  }
  if (job.prologue.slope)
    activate_run<NormPRelu>(x, job.prologue, c, n, to);
  else
    activate_run<NormElu>(x, job.prologue, c, n, to);
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
      : y_(job.f.at(job.y.first + co) + at), bias_(hn::Set(d, job.conv->bias[co])), sums_(d) {}
  HWY_INLINE void put(D d, hn::Vec<D> product, hn::Vec<D> mask, ptrdiff_t i) {
    const auto value = hn::And(hn::Add(product, bias_), mask);
    hn::StoreU(value, d, y_ + i);
    sums_.add(value);
  }
  HWY_INLINE void flush(D d, PartialSums& to) const { sums_.flush(d, to); }

 private:
  float* y_;
  hn::Vec<D> bias_;
  LaneSums<D> sums_;
};

//   backward  product is da: dt = da act'(scale x + shift), y (+)= scale dt; sums of dt, of dt x, and of da t where
//             t < 0 (kernels/conv3d_backward.h)
template <template <class> class Activation, class D>
class BackwardEpilogue {
 public:
  HWY_INLINE BackwardEpilogue(D d, const ConvJob& job, int co, ptrdiff_t at)
      : y_(job.f.at(job.y.first + co) + at),
        x_(job.backward->features + (job.y.first + co) * job.f.layout.channel + at),
        accumulate_(job.backward->accumulate),
        activation_(d, job.backward->prologue, co),
        sum_(hn::Zero(d)),
        sum_times_x_(hn::Zero(d)),
        sum_of_slope_(hn::Zero(d)) {}
  HWY_INLINE void put(D d, hn::Vec<D> product, hn::Vec<D> mask, ptrdiff_t i) {
    const auto x = hn::LoadU(d, x_ + i);
    auto dt = activation_.backward(d, hn::And(product, mask), x, sum_of_slope_);
    sum_ = hn::Add(sum_, dt);
    sum_times_x_ = hn::MulAdd(dt, x, sum_times_x_);
    dt = activation_.times_scale(dt);
    if (accumulate_) dt = hn::Add(dt, hn::LoadU(d, y_ + i));
    hn::StoreU(dt, d, y_ + i);
  }
  HWY_INLINE void flush(D d, PartialSums& to) const {
    to.first += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum_)));
    to.second += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum_times_x_)));
    to.third += static_cast<double>(hn::GetLane(hn::SumOfLanes(d, sum_of_slope_)));
  }

 private:
  float* y_;
  const float* x_;
  bool accumulate_;
  Activation<D> activation_;
  hn::Vec<D> sum_, sum_times_x_, sum_of_slope_;
};
template <class D>
using BackwardPlain = BackwardEpilogue<Plain, D>;
template <class D>
using BackwardNormElu = BackwardEpilogue<NormElu, D>;
template <class D>
using BackwardNormPRelu = BackwardEpilogue<NormPRelu, D>;

template <class Epilogue, class D>
HWY_INLINE ptrdiff_t write_vectors(D d, const ConvJob& job, int co, const float* HWY_RESTRICT product, ptrdiff_t i,
                                   ptrdiff_t end, ptrdiff_t at, PartialSums& sums) {
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  Epilogue epilogue(d, job, co, at);
  for (; i + lanes <= end; i += lanes) epilogue.put(d, hn::LoadU(d, product + i), hn::LoadU(d, job.mask + i), i);
  epilogue.flush(d, sums);
  return i;
}

template <template <class> class Epilogue>
HWY_INLINE void write_rows_as(const ConvJob& job, int co, const float* product, ptrdiff_t n, ptrdiff_t at,
                              PartialSums& sums) {
  const ptrdiff_t i = write_vectors<Epilogue<Wide>>(Wide(), job, co, product, 0, n, at, sums);
  if (i < n) write_vectors<Epilogue<Narrow>>(Narrow(), job, co, product, i, n, at, sums);
}

// A run of n products (whole rows) to output channel co, from `at` on.
HWY_INLINE void write_rows(const ConvJob& job, int co, const float* product, ptrdiff_t n, ptrdiff_t at,
                           PartialSums& sums) {
  if (!job.backward)
    write_rows_as<ForwardEpilogue>(job, co, product, n, at, sums);
  else if (!job.backward->prologue.scale)
    write_rows_as<BackwardPlain>(job, co, product, n, at, sums);
  else if (job.backward->prologue.slope)
    write_rows_as<BackwardNormPRelu>(job, co, product, n, at, sums);
  else
    write_rows_as<BackwardNormElu>(job, co, product, n, at, sums);
}

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
