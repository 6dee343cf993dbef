// The number formats of tensors in files, and float32 out of any of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "weights/file_io.h"

namespace sr {

enum class ElementType { f64, f32, f16, bf16, i64, i32, i16, i8, u8, boolean };

size_t element_size(ElementType type);
bool is_floating(ElementType type);

// bytes.size() / element_size(type) numbers. A float64 beyond float32's range becomes infinite.
std::vector<float> to_float32(Bytes bytes, ElementType type, bool big_endian = false);

// IEEE 754 binary16. Widening is exact; narrowing rounds to nearest, ties to even, and overflows to infinity.
float half_to_float(uint16_t half);
uint16_t float_to_half(float value);

}  // namespace sr
