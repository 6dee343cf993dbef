#include "weights/element_type.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace sr {
namespace {

static_assert(std::endian::native == std::endian::little, "files are read as they lie in memory");

template <class T>
T load(const uint8_t* p, bool big_endian) {
  uint8_t bytes[sizeof(T)];
  for (size_t i = 0; i < sizeof(T); ++i) bytes[i] = p[big_endian ? sizeof(T) - 1 - i : i];
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

// Applies `widen` to each element of type T.
template <class T, class Widen>
std::vector<float> each(Bytes bytes, bool big_endian, Widen widen) {
  std::vector<float> out(bytes.size() / sizeof(T));
  for (size_t i = 0; i < out.size(); ++i) out[i] = widen(load<T>(bytes.data() + i * sizeof(T), big_endian));
  return out;
}

float bfloat16_to_float(uint16_t b) {
  return std::bit_cast<float>(uint32_t{b} << 16);
}

// Out of range is undefined behaviour in a plain cast.
float narrow(double x) {
  constexpr double most = std::numeric_limits<float>::max();
  if (std::abs(x) > most)
    return std::copysign(std::numeric_limits<float>::infinity(), static_cast<float>(x > 0) - 0.5f);
  return static_cast<float>(x);
}

}  // namespace

size_t element_size(ElementType type) {
  switch (type) {
    case ElementType::f64:
    case ElementType::i64:
      return 8;
    case ElementType::f32:
    case ElementType::i32:
      return 4;
    case ElementType::f16:
    case ElementType::bf16:
    case ElementType::i16:
      return 2;
    default:
      return 1;
  }
}

bool is_floating(ElementType type) {
  return type == ElementType::f64 || type == ElementType::f32 || type == ElementType::f16 || type == ElementType::bf16;
}

std::vector<float> to_float32(Bytes bytes, ElementType type, bool big_endian) {
  const auto plain = [](auto x) { return static_cast<float>(x); };
  switch (type) {
    case ElementType::f64:
      return each<double>(bytes, big_endian, narrow);
    case ElementType::f32:
      return each<float>(bytes, big_endian, plain);
    case ElementType::f16:
      return each<uint16_t>(bytes, big_endian, half_to_float);
    case ElementType::bf16:
      return each<uint16_t>(bytes, big_endian, bfloat16_to_float);
    case ElementType::i64:
      return each<int64_t>(bytes, big_endian, plain);
    case ElementType::i32:
      return each<int32_t>(bytes, big_endian, plain);
    case ElementType::i16:
      return each<int16_t>(bytes, big_endian, plain);
    case ElementType::i8:
      return each<int8_t>(bytes, big_endian, plain);
    case ElementType::u8:
    case ElementType::boolean:
      return each<uint8_t>(bytes, big_endian, plain);
  }
  return {};
}

float half_to_float(uint16_t half) {
  const int exponent = (half >> 10) & 0x1f;
  const int fraction = half & 0x3ff;
  float magnitude;
  if (exponent == 0) {
    magnitude = std::ldexp(static_cast<float>(fraction), -24);
  } else if (exponent < 31) {
    magnitude = std::ldexp(static_cast<float>(fraction + 1024), exponent - 25);
  } else {
    magnitude = fraction ? std::numeric_limits<float>::quiet_NaN() : std::numeric_limits<float>::infinity();
  }
  return half & 0x8000 ? -magnitude : magnitude;
}

uint16_t float_to_half(float value) {
  const auto sign = static_cast<uint16_t>(std::signbit(value) ? 0x8000 : 0);
  if (std::isnan(value)) return sign | 0x7e00;
  const float magnitude = std::abs(value);
  if (magnitude >= 65520.0f) return sign | 0x7c00;  // half way between the largest half, 65504, and 2^16
  // In units of the last place of the result's binade; subnormals share the smallest normal binade's, 2^-24.
  const int exponent = magnitude < std::ldexp(1.0f, -14) ? -14 : std::ilogb(magnitude);
  const auto units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  // Normal numbers carry an implicit 1024; rounding up to 2048 moves into the next exponent by itself.
  return static_cast<uint16_t>(sign | (((exponent + 14) << 10) + units));
}

}  // namespace sr
