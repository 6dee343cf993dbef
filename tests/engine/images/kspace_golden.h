// The float64 reference of degradation: tests/golden/kspace/make_golden.py.
#pragma once

#include <string>

#include "engine/images/kspace.h"
#include "tests/support/npy.h"

namespace sr::test {

struct KspaceCase {
  const char* name;
  Factors factors;
};
inline constexpr KspaceCase kKspaceCases[] = {
    {"even", {2, 2, 1}},       {"prime", {2, 2, 1}},       {"fractions", {1.5, 1, 2.5}}, {"one_slice", {2, 2, 1}},
    {"depth_only", {1, 1, 2}}, {"all_axes", {1.25, 7, 3}}, {"nothing", {1, 1, 1}}};

// NAME_image, NAME_low, NAME_linear, NAME_sinc
inline Volume kspace_golden(const std::string& name) {
  return read_npy(SR_TEST_DATA "/golden/kspace/" + name + ".npy").as_volume();
}

}  // namespace sr::test
