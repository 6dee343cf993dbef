// Winograd's one-dimensional transforms for three taps, on vectors: each lane is a tile of its own. Included once per
// SIMD target. Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks" (arXiv 1509.09308), sections 4.1 and
// 4.3; the weights' side is in conv3d_pack.cpp.
#if defined(SR_KERNELS_WINOGRAD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SR_KERNELS_WINOGRAD_INL_H
#undef SR_KERNELS_WINOGRAD_INL_H
#else
#define SR_KERNELS_WINOGRAD_INL_H
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// F(M): M outputs from M + 2 inputs.
//   input:  v[0 .. M+1] samples -> points    output: v[0 .. M+1] points -> v[0 .. M-1] outputs
//   gradient: v[0 .. M-1] gradients of the outputs -> v[0 .. M+1], of the points (the transpose of `output`)
template <int M>
struct Winograd;

template <>
struct Winograd<2> {
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void input(D, V* v) {
    const V p0 = hn::Sub(v[0], v[2]), p1 = hn::Add(v[1], v[2]), p2 = hn::Sub(v[2], v[1]), p3 = hn::Sub(v[1], v[3]);
    v[0] = p0;
    v[1] = p1;
    v[2] = p2;
    v[3] = p3;
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void output(D, V* v) {
    const V y0 = hn::Add(v[0], hn::Add(v[1], v[2])), y1 = hn::Sub(hn::Sub(v[1], v[2]), v[3]);
    v[0] = y0;
    v[1] = y1;
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void gradient(D d, V* v) {
    const V p1 = hn::Add(v[0], v[1]), p2 = hn::Sub(v[0], v[1]), p3 = hn::Sub(hn::Zero(d), v[1]);
    v[1] = p1;
    v[2] = p2;
    v[3] = p3;
  }
};

template <>
struct Winograd<4> {
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void input(D d, V* v) {
    const V two = hn::Set(d, 2.0f), four = hn::Set(d, 4.0f), five = hn::Set(d, 5.0f);
    const V even = hn::NegMulAdd(four, v[2], v[4]), odd = hn::NegMulAdd(four, v[1], v[3]);
    const V even2 = hn::Sub(v[4], v[2]), odd2 = hn::Sub(v[3], v[1]);
    const V p0 = hn::MulAdd(four, v[0], hn::NegMulAdd(five, v[2], v[4]));
    const V p5 = hn::MulAdd(four, v[1], hn::NegMulAdd(five, v[3], v[5]));
    v[0] = p0;
    v[1] = hn::Add(even, odd);
    v[2] = hn::Sub(even, odd);
    v[3] = hn::MulAdd(two, odd2, even2);
    v[4] = hn::NegMulAdd(two, odd2, even2);
    v[5] = p5;
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void output(D d, V* v) {
    const V sum = hn::Add(v[1], v[2]), difference = hn::Sub(v[1], v[2]);
    const V sum2 = hn::Add(v[3], v[4]), difference2 = hn::Sub(v[3], v[4]);
    v[0] = hn::Add(v[0], hn::Add(sum, sum2));
    v[1] = hn::MulAdd(hn::Set(d, 2.0f), difference2, difference);
    v[2] = hn::MulAdd(hn::Set(d, 4.0f), sum2, sum);
    v[3] = hn::MulAdd(hn::Set(d, 8.0f), difference2, hn::Add(difference, v[5]));
  }
  template <class D, class V = hn::Vec<D>>
  static HWY_INLINE void gradient(D d, V* v) {
    const V two = hn::Set(d, 2.0f), four = hn::Set(d, 4.0f);
    const V even = hn::Add(v[0], v[2]), odd = hn::Add(v[1], v[3]);
    const V even2 = hn::MulAdd(four, v[2], v[0]), odd2 = hn::Mul(two, hn::MulAdd(four, v[3], v[1]));
    v[5] = v[3];
    v[1] = hn::Add(even, odd);
    v[2] = hn::Sub(even, odd);
    v[3] = hn::Add(even2, odd2);
    v[4] = hn::Sub(even2, odd2);
  }
};

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
