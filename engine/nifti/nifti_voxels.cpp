#include "engine/nifti/nifti_voxels.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <type_traits>

#include "engine/nifti/nifti_header.h"

namespace sr {
namespace {

template <class T>
T load(const std::byte* from, bool byte_swapped) {
  std::array<std::byte, sizeof(T)> bytes;
  std::memcpy(bytes.data(), from, sizeof(T));
  if (byte_swapped) std::reverse(bytes.begin(), bytes.end());
  return std::bit_cast<T>(bytes);
}

template <class T>
int64_t decode(std::span<const std::byte> raw, bool byte_swapped, Scaling scaling, std::span<float> values) {
  int64_t n_nonfinite = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    double value = static_cast<double>(load<T>(raw.data() + i * sizeof(T), byte_swapped));
    if (!scaling.is_identity()) value = value * scaling.slope + scaling.inter;
    // Beyond float32's range the conversion would be undefined; such voxels count as infinite.
    const bool finite = std::fabs(value) <= std::numeric_limits<float>::max();
    values[i] = finite ? static_cast<float>(value) : 0.0f;
    n_nonfinite += !finite;
  }
  return n_nonfinite;
}

template <class T>
T round_and_clamp(double value) {
  if constexpr (std::is_floating_point_v<T>) {
    constexpr double highest = static_cast<double>(std::numeric_limits<T>::max());
    return static_cast<T>(std::isfinite(value) ? std::clamp(value, -highest, highest) : value);
  } else {
    if (std::isnan(value)) return 0;
    // As doubles the limits of 64-bit types round up to a power of two that the type does not hold: hence >=.
    constexpr double lowest = static_cast<double>(std::numeric_limits<T>::lowest());
    constexpr double highest = static_cast<double>(std::numeric_limits<T>::max());
    const double rounded = std::nearbyint(value);
    if (rounded <= lowest) return std::numeric_limits<T>::lowest();
    if (rounded >= highest) return std::numeric_limits<T>::max();
    return static_cast<T>(rounded);
  }
}

template <class T>
T encode_one(float value, Scaling scaling) {
  if (scaling.is_identity()) return round_and_clamp<T>(static_cast<double>(value));
  const double finite = std::isnan(value) ? 0.0 : static_cast<double>(value);
  return round_and_clamp<T>((finite - scaling.inter) / scaling.slope);
}

template <class T>
void encode(std::span<const float> values, Scaling scaling, std::span<std::byte> raw) {
  for (size_t i = 0; i < values.size(); ++i) {
    const T voxel = encode_one<T>(values[i], scaling);
    std::memcpy(raw.data() + i * sizeof(T), &voxel, sizeof(T));
  }
}

// Calls f with a value of the C++ type behind a NIfTI datatype.
template <class F>
auto with_type(int datatype, F f) {
  switch (datatype) {
    case NIFTI_TYPE_UINT8:
      return f(uint8_t{});
    case NIFTI_TYPE_INT8:
      return f(int8_t{});
    case NIFTI_TYPE_UINT16:
      return f(uint16_t{});
    case NIFTI_TYPE_INT16:
      return f(int16_t{});
    case NIFTI_TYPE_UINT32:
      return f(uint32_t{});
    case NIFTI_TYPE_INT32:
      return f(int32_t{});
    case NIFTI_TYPE_UINT64:
      return f(uint64_t{});
    case NIFTI_TYPE_INT64:
      return f(int64_t{});
    case NIFTI_TYPE_FLOAT32:
      return f(float{});
    case NIFTI_TYPE_FLOAT64:
      return f(double{});
    default:
      throw std::logic_error("a datatype that check_header() refuses");
  }
}

}  // namespace

Scaling effective_scaling(double scl_slope, double scl_inter) {
  if (scl_slope == 0 || std::isnan(scl_slope)) return {};
  return {scl_slope, scl_inter};
}

int64_t decode_voxels(std::span<const std::byte> raw, int datatype, bool byte_swapped, Scaling scaling,
                      std::span<float> values) {
  return with_type(datatype, [&](auto type) { return decode<decltype(type)>(raw, byte_swapped, scaling, values); });
}

void encode_voxels(std::span<const float> values, int datatype, Scaling scaling, std::span<std::byte> raw) {
  with_type(datatype, [&](auto type) { encode<decltype(type)>(values, scaling, raw); });
}

double as_stored(float value, int datatype, Scaling scaling) {
  return with_type(datatype, [&](auto type) {
    return static_cast<double>(encode_one<decltype(type)>(value, scaling)) * scaling.slope + scaling.inter;
  });
}

std::optional<ValueRange> finite_range(std::span<const float> values) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  ValueRange range{infinity, -infinity};
  for (const float value : values) {
    if (!std::isfinite(value)) continue;
    range.min = std::min(range.min, value);
    range.max = std::max(range.max, value);
  }
  if (range.min > range.max) return std::nullopt;
  return range;
}

}  // namespace sr
