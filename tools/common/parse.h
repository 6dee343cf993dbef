// Numbers as users type them. Each throws Error{bad_usage} with a sentence that shows an example.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "engine/base/status.h"
#include "engine/images/kspace.h"
#include "kernels/features.h"
#include "weights/weights_error.h"

namespace sr {

Factors parse_factors(const std::string& text);  // "2x2x1", "1.5x2x1": NIfTI order, each >= 1
Size3 parse_size(const std::string& text);       // "320x320x256" (i x j x k) -> {256, 320, 320}; each 1 .. 32767
std::array<double, 3> parse_voxel_mm(const std::string& text);  // "1x1x1.2": i, j, k, each above 0
Size3 parse_patch(const std::string& text);                     // "70" or "70x70x40", each 1 .. 1024
int64_t parse_bytes(const std::string& text);  // "2G", "500M", "800K", "123456": powers of 1024; above 0

// The result of `parse`, whose WeightsError is about a word that the user typed: Error{bad_usage}.
template <class F>
auto parse_word(F parse, const std::string& word) {
  try {
    return parse(word);
  } catch (const WeightsError& e) {
    throw Error(Status::bad_usage, e.what());
  }
}

}  // namespace sr
