// Voxels between a file's datatype and float32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace sr {

// value = raw * slope + inter. {1, 0} for files without scaling.
struct Scaling {
  double slope = 1, inter = 0;
  bool is_identity() const { return slope == 1 && inter == 0; }
};

// What scl_slope and scl_inter mean: a slope of 0 (the standard) or NaN (nibabel) is "none".
Scaling effective_scaling(double scl_slope, double scl_inter);

// raw: values.size() voxels of a supported datatype. What is not finite as float32 becomes 0; returns how many there
// were.
int64_t decode_voxels(std::span<const std::byte> raw, int datatype, bool byte_swapped, Scaling scaling,
                      std::span<float> values);

// The inverse, in the machine's byte order: raw = (value - inter) / slope; integers are rounded to the nearest (halves
// to even) and clamped to what the type holds, NaN counts as 0. raw: values.size() voxels.
void encode_voxels(std::span<const float> values, int datatype, Scaling scaling, std::span<std::byte> raw);

// What a reader will find where `value` was encoded: it is rounded and clamped.
double as_stored(float value, int datatype, Scaling scaling);

// Smallest and largest finite value.
struct ValueRange {
  float min = 0, max = 0;
};
std::optional<ValueRange> finite_range(std::span<const float> values);  // nullopt: there is none

}  // namespace sr
