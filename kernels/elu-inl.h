// ELU of a vector. Included once per SIMD target.
#if defined(SR_KERNELS_ELU_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SR_KERNELS_ELU_INL_H
#undef SR_KERNELS_ELU_INL_H
#else
#define SR_KERNELS_ELU_INL_H
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// elu(t) = t for t >= 0, exp(t) - 1 for t < 0; absolute error below 3e-7, relative error below 5e-7 towards zero.
//
// With t = n ln 2 + r, |r| <= ln 2 / 2 and s = 2^n:  exp(t) - 1 = s (e^r - 1) + (s - 1),  which loses nothing towards
// zero. For t >= 0 that is computed as well, overflows or not, and dropped.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V elu(D d, V t) {
  const hn::RebindToSigned<D> di;
  // exp(-87) - 1 rounds to -1, and 2^n stays a normal number.
  const V p = hn::Max(t, hn::Set(d, -87.0f));

  // Adding 1.5 * 2^23 rounds to an integer, which then lies in the low bits: n + 127, the exponent of 2^n.
  const V magic = hn::Set(d, 12582912.0f + 127.0f);
  const V biased = hn::MulAdd(p, hn::Set(d, 1.44269504f), magic);
  const V n = hn::Sub(biased, magic);
  const V s = hn::BitCast(d, hn::ShiftLeft<23>(hn::BitCast(di, biased)));
  // ln 2 in one float is enough: its error, 2e-9 n, is scaled by 2^n afterwards.
  const V r = hn::NegMulAdd(n, hn::Set(d, 0.693147181f), p);

  // e^r - 1 = r (1 + r (c2 + c3 r + c4 r^2 + c5 r^3)); minimax with the first term held at 1 (weighted least squares,
  // Lawson's iteration). In pairs, which shortens the chain of dependent operations.
  const V r2 = hn::Mul(r, r);
  const V c23 = hn::MulAdd(r, hn::Set(d, 0.166668313f), hn::Set(d, 0.499994014f));
  const V c45 = hn::MulAdd(r, hn::Set(d, 0.00833807626f), hn::Set(d, 0.0418727711f));
  const V e_r = hn::MulAdd(r2, hn::MulAdd(r2, c45, c23), r);

  const V e = hn::MulAdd(s, e_r, hn::Sub(s, hn::Set(d, 1.0f)));
  return hn::IfNegativeThenElse(t, e, t);
}

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
