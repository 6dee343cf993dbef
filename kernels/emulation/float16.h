// __half and __nv_bfloat16 with the functions of cuda_fp16.h and cuda_bf16.h. Arithmetic is done in float or double and
// rounded once, to nearest even, as the device does.
//
// CUDA's types convert to and from float by themselves; these do not, so that a kernel says where it rounds.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include "kernels/emulation/vector_types.h"

struct __half {
  __half() = default;
  explicit __half(float x);
  explicit operator float() const;
  uint16_t bits;
};
struct __nv_bfloat16 {
  __nv_bfloat16() = default;
  explicit __nv_bfloat16(float x);
  explicit operator float() const;
  uint16_t bits;
};
struct alignas(4) __half2 {
  __half2() = default;
  constexpr __half2(__half low, __half high) : x(low), y(high) {}
  __half x, y;
};
struct alignas(4) __nv_bfloat162 {
  __nv_bfloat162() = default;
  constexpr __nv_bfloat162(__nv_bfloat16 low, __nv_bfloat16 high) : x(low), y(high) {}
  __nv_bfloat16 x, y;
};
using half = __half;
using half2 = __half2;
using nv_bfloat16 = __nv_bfloat16;
using nv_bfloat162 = __nv_bfloat162;

// ---- Bits ----

inline unsigned short __half_as_ushort(__half h) {
  return h.bits;
}
inline short __half_as_short(__half h) {
  return static_cast<short>(h.bits);
}
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 h) {
  return h.bits;
}
inline __half __ushort_as_half(unsigned short bits) {
  __half h;
  h.bits = bits;
  return h;
}
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) {
  __nv_bfloat16 h;
  h.bits = bits;
  return h;
}

namespace sr::emulation {

// ---- Conversions of one number ----

// binary16: 1 sign, 5 exponent (bias 15), 10 mantissa bits; float has 8 (bias 127) and 23.
inline float half_bits_to_float(uint16_t h) {
  const uint32_t sign = uint32_t{h & 0x8000u} << 16, exponent = h >> 10 & 31u, mantissa = h & 1023u;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7f800000u | mantissa << 13);  // infinite or NaN
  if (exponent == 0) {
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;  // zero or subnormal
    return sign ? -magnitude : magnitude;
  }
  return std::bit_cast<float>(sign | (exponent + 127 - 15) << 23 | mantissa << 13);
}

inline uint16_t float_to_half_bits(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x), magnitude = bits & 0x7fffffffu;
  const uint32_t sign = bits >> 16 & 0x8000u;
  if (magnitude > 0x7f800000u) return 0x7fff;                                  // NaN
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // rounds to 2^16 or more: infinite
  if (magnitude < 0x38800000u) {                                               // below 2^-14: multiples of 2^-24
    const float multiple = std::nearbyint(std::bit_cast<float>(magnitude) * 0x1p24f);
    return static_cast<uint16_t>(sign | static_cast<uint32_t>(multiple));
  }
  const uint32_t rounded =
      magnitude + 0xfffu + (magnitude >> 13 & 1u);  // to nearest even; a carry ends in the exponent
  return static_cast<uint16_t>(sign | (rounded - (uint32_t{127 - 15} << 23)) >> 13);
}

// bfloat16 is the upper half of a float.
inline float bfloat16_bits_to_float(uint16_t h) {
  return std::bit_cast<float>(uint32_t{h} << 16);
}

inline uint16_t float_to_bfloat16_bits(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;  // NaN
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// A sum of doubles as a float that is still on the same side of every tie of the 16-bit types: inexact results get an
// odd last bit. Rounding it once more then gives what rounding the exact sum would.
inline float add_round_to_odd(double a, double b) {
  const double sum = a + b;
  if (!std::isfinite(sum)) return static_cast<float>(sum);
  const double b_part = sum - a;
  const double lost = (a - (sum - b_part)) + (b - b_part);  // Knuth's two-sum: sum + lost is exact
  float nearest = static_cast<float>(sum);
  const double off = (sum - double{nearest}) + lost;  // of the right sign
  if (off == 0 || !std::isfinite(nearest) || std::bit_cast<uint32_t>(nearest) & 1u) return nearest;
  return std::nextafter(nearest, off > 0 ? HUGE_VALF : -HUGE_VALF);
}

// ---- What the two types have in common ----

template <class T>
struct Traits16;  // one number
template <>
struct Traits16<__half> {
  using Pair = __half2;
  static float to_float(__half h) { return half_bits_to_float(h.bits); }
  static __half from_float(float x) { return __ushort_as_half(float_to_half_bits(x)); }
};
template <>
struct Traits16<__nv_bfloat16> {
  using Pair = __nv_bfloat162;
  static float to_float(__nv_bfloat16 h) { return bfloat16_bits_to_float(h.bits); }
  static __nv_bfloat16 from_float(float x) { return __ushort_as_bfloat16(float_to_bfloat16_bits(x)); }
};

template <class T>
concept Number16 = std::is_same_v<T, __half> || std::is_same_v<T, __nv_bfloat16>;
template <class P>
concept Pair16 = std::is_same_v<P, __half2> || std::is_same_v<P, __nv_bfloat162>;

template <Number16 T>
float to_float(T h) {
  return Traits16<T>::to_float(h);
}
template <Number16 T>
T from_float(float x) {
  return Traits16<T>::from_float(x);
}

template <Number16 T>
T fma16(T a, T b, T c) {
  const double product = double{to_float(a)} * double{to_float(b)};  // exact
  return from_float<T>(add_round_to_odd(product, double{to_float(c)}));
}

// The number that is not NaN, if one is; -0 is less than +0.
template <Number16 T>
T max16(T a, T b) {
  if (std::isnan(to_float(a))) return std::isnan(to_float(b)) ? from_float<T>(NAN) : b;
  if (std::isnan(to_float(b))) return a;
  if (to_float(a) == to_float(b)) return a.bits & 0x8000u ? b : a;
  return to_float(a) > to_float(b) ? a : b;
}
template <Number16 T>
T negate16(T a) {
  a.bits = static_cast<uint16_t>(a.bits ^ 0x8000u);
  return a;
}
template <Number16 T>
T min16(T a, T b) {
  return std::isnan(to_float(a)) || std::isnan(to_float(b)) ? max16(a, b) : negate16(max16(negate16(a), negate16(b)));
}

}  // namespace sr::emulation

inline __half::__half(float value) : bits(sr::emulation::float_to_half_bits(value)) {}
inline __half::operator float() const {
  return sr::emulation::half_bits_to_float(bits);
}
inline __nv_bfloat16::__nv_bfloat16(float value) : bits(sr::emulation::float_to_bfloat16_bits(value)) {}
inline __nv_bfloat16::operator float() const {
  return sr::emulation::bfloat16_bits_to_float(bits);
}

// ---- Conversions: half ----

inline float __half2float(__half h) {
  return float(h);
}
inline __half __float2half(float x) {
  return __half(x);
}
inline __half __float2half_rn(float x) {
  return __half(x);
}
inline __half2 __float2half2_rn(float x) {
  return {__half(x), __half(x)};
}
inline __half2 __floats2half2_rn(float low, float high) {
  return {__half(low), __half(high)};
}
inline __half2 __float22half2_rn(float2 v) {
  return {__half(v.x), __half(v.y)};
}
inline float2 __half22float2(__half2 v) {
  return {float(v.x), float(v.y)};
}
inline __half2 __half2half2(__half h) {
  return {h, h};
}
inline __half2 __halves2half2(__half low, __half high) {
  return {low, high};
}
inline __half2 make_half2(__half low, __half high) {
  return {low, high};
}
inline __half __low2half(__half2 v) {
  return v.x;
}
inline __half __high2half(__half2 v) {
  return v.y;
}
inline __half2 __low2half2(__half2 v) {
  return {v.x, v.x};
}
inline __half2 __high2half2(__half2 v) {
  return {v.y, v.y};
}
inline __half2 __lows2half2(__half2 a, __half2 b) {
  return {a.x, b.x};
}
inline __half2 __highs2half2(__half2 a, __half2 b) {
  return {a.y, b.y};
}
inline __half2 __lowhigh2highlow(__half2 v) {
  return {v.y, v.x};
}
inline float __low2float(__half2 v) {
  return float(v.x);
}
inline float __high2float(__half2 v) {
  return float(v.y);
}

// ---- Conversions: bfloat16 ----

inline float __bfloat162float(__nv_bfloat16 h) {
  return float(h);
}
inline __nv_bfloat16 __float2bfloat16(float x) {
  return __nv_bfloat16(x);
}
inline __nv_bfloat16 __float2bfloat16_rn(float x) {
  return __nv_bfloat16(x);
}
inline __nv_bfloat162 __float2bfloat162_rn(float x) {
  return {__nv_bfloat16(x), __nv_bfloat16(x)};
}
inline __nv_bfloat162 __floats2bfloat162_rn(float low, float high) {
  return {__nv_bfloat16(low), __nv_bfloat16(high)};
}
inline __nv_bfloat162 __float22bfloat162_rn(float2 v) {
  return {__nv_bfloat16(v.x), __nv_bfloat16(v.y)};
}
inline float2 __bfloat1622float2(__nv_bfloat162 v) {
  return {float(v.x), float(v.y)};
}
inline __nv_bfloat162 __bfloat162bfloat162(__nv_bfloat16 h) {
  return {h, h};
}
inline __nv_bfloat162 __halves2bfloat162(__nv_bfloat16 low, __nv_bfloat16 high) {
  return {low, high};
}
inline __nv_bfloat162 make_bfloat162(__nv_bfloat16 low, __nv_bfloat16 high) {
  return {low, high};
}
inline __nv_bfloat16 __low2bfloat16(__nv_bfloat162 v) {
  return v.x;
}
inline __nv_bfloat16 __high2bfloat16(__nv_bfloat162 v) {
  return v.y;
}
inline __nv_bfloat162 __low2bfloat162(__nv_bfloat162 v) {
  return {v.x, v.x};
}
inline __nv_bfloat162 __high2bfloat162(__nv_bfloat162 v) {
  return {v.y, v.y};
}
inline float __low2float(__nv_bfloat162 v) {
  return float(v.x);
}
inline float __high2float(__nv_bfloat162 v) {
  return float(v.y);
}

// ---- Arithmetic, for both types ----
//
// float has more than twice the mantissa bits of either, so rounding twice gives what rounding once would.

// clang-format off
template <sr::emulation::Number16 T> T __hadd(T a, T b) { return T(float(a) + float(b)); }
template <sr::emulation::Number16 T> T __hsub(T a, T b) { return T(float(a) - float(b)); }
template <sr::emulation::Number16 T> T __hmul(T a, T b) { return T(float(a) * float(b)); }
template <sr::emulation::Number16 T> T __hdiv(T a, T b) { return T(float(a) / float(b)); }
template <sr::emulation::Number16 T> T __hfma(T a, T b, T c) { return sr::emulation::fma16(a, b, c); }
template <sr::emulation::Number16 T> T __hneg(T a) { return sr::emulation::negate16(a); }
template <sr::emulation::Number16 T> T __habs(T a) { return a.bits & 0x8000u ? sr::emulation::negate16(a) : a; }
template <sr::emulation::Number16 T> T __hmax(T a, T b) { return sr::emulation::max16(a, b); }
template <sr::emulation::Number16 T> T __hmin(T a, T b) { return sr::emulation::min16(a, b); }
template <sr::emulation::Number16 T> bool __hisnan(T a) { return std::isnan(float(a)); }
template <sr::emulation::Number16 T> bool __heq(T a, T b) { return float(a) == float(b); }
template <sr::emulation::Number16 T> bool __hne(T a, T b) { return float(a) < float(b) || float(a) > float(b); }
template <sr::emulation::Number16 T> bool __hlt(T a, T b) { return float(a) < float(b); }
template <sr::emulation::Number16 T> bool __hle(T a, T b) { return float(a) <= float(b); }
template <sr::emulation::Number16 T> bool __hgt(T a, T b) { return float(a) > float(b); }
template <sr::emulation::Number16 T> bool __hge(T a, T b) { return float(a) >= float(b); }
template <sr::emulation::Number16 T> T hexp(T a) { return T(std::exp(float(a))); }
template <sr::emulation::Number16 T> T hexp2(T a) { return T(std::exp2(float(a))); }
template <sr::emulation::Number16 T> T hsqrt(T a) { return T(std::sqrt(float(a))); }
template <sr::emulation::Number16 T> T hrcp(T a) { return T(1.0f / float(a)); }

template <sr::emulation::Pair16 P> P __hadd2(P a, P b) { return P(__hadd(a.x, b.x), __hadd(a.y, b.y)); }
template <sr::emulation::Pair16 P> P __hsub2(P a, P b) { return P(__hsub(a.x, b.x), __hsub(a.y, b.y)); }
template <sr::emulation::Pair16 P> P __hmul2(P a, P b) { return P(__hmul(a.x, b.x), __hmul(a.y, b.y)); }
template <sr::emulation::Pair16 P> P __h2div(P a, P b) { return P(__hdiv(a.x, b.x), __hdiv(a.y, b.y)); }
template <sr::emulation::Pair16 P> P __hfma2(P a, P b, P c) { return P(__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)); }
template <sr::emulation::Pair16 P> P __hneg2(P a) { return P(__hneg(a.x), __hneg(a.y)); }
template <sr::emulation::Pair16 P> P __habs2(P a) { return P(__habs(a.x), __habs(a.y)); }
template <sr::emulation::Pair16 P> P __hmax2(P a, P b) { return P(__hmax(a.x, b.x), __hmax(a.y, b.y)); }
template <sr::emulation::Pair16 P> P __hmin2(P a, P b) { return P(__hmin(a.x, b.x), __hmin(a.y, b.y)); }
template <sr::emulation::Pair16 P> P h2exp(P a) { return P(hexp(a.x), hexp(a.y)); }
template <sr::emulation::Pair16 P> P h2exp2(P a) { return P(hexp2(a.x), hexp2(a.y)); }
template <sr::emulation::Pair16 P> P h2sqrt(P a) { return P(hsqrt(a.x), hsqrt(a.y)); }
template <sr::emulation::Pair16 P> P h2rcp(P a) { return P(hrcp(a.x), hrcp(a.y)); }

// Comparisons give 1.0 or 0.0 in each half...
namespace sr::emulation {
template <Pair16 P> P truth(bool low, bool high) { return P(decltype(P::x)(low ? 1.0f : 0.0f), decltype(P::x)(high ? 1.0f : 0.0f)); }
constexpr unsigned truth_mask(bool low, bool high) { return (low ? 0xffffu : 0u) | (high ? 0xffff0000u : 0u); }
}  // namespace sr::emulation
template <sr::emulation::Pair16 P> P __heq2(P a, P b) { return sr::emulation::truth<P>(__heq(a.x, b.x), __heq(a.y, b.y)); }
template <sr::emulation::Pair16 P> P __hne2(P a, P b) { return sr::emulation::truth<P>(__hne(a.x, b.x), __hne(a.y, b.y)); }
template <sr::emulation::Pair16 P> P __hlt2(P a, P b) { return sr::emulation::truth<P>(__hlt(a.x, b.x), __hlt(a.y, b.y)); }
template <sr::emulation::Pair16 P> P __hle2(P a, P b) { return sr::emulation::truth<P>(__hle(a.x, b.x), __hle(a.y, b.y)); }
template <sr::emulation::Pair16 P> P __hgt2(P a, P b) { return sr::emulation::truth<P>(__hgt(a.x, b.x), __hgt(a.y, b.y)); }
template <sr::emulation::Pair16 P> P __hge2(P a, P b) { return sr::emulation::truth<P>(__hge(a.x, b.x), __hge(a.y, b.y)); }
// ... or 16 set bits.
template <sr::emulation::Pair16 P> unsigned __hlt2_mask(P a, P b) { return sr::emulation::truth_mask(__hlt(a.x, b.x), __hlt(a.y, b.y)); }
template <sr::emulation::Pair16 P> unsigned __hle2_mask(P a, P b) { return sr::emulation::truth_mask(__hle(a.x, b.x), __hle(a.y, b.y)); }
template <sr::emulation::Pair16 P> unsigned __hgt2_mask(P a, P b) { return sr::emulation::truth_mask(__hgt(a.x, b.x), __hgt(a.y, b.y)); }
template <sr::emulation::Pair16 P> unsigned __hge2_mask(P a, P b) { return sr::emulation::truth_mask(__hge(a.x, b.x), __hge(a.y, b.y)); }
// clang-format on
