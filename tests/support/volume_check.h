// Comparing volumes in tests: the largest difference, relative to the largest voxel, and where it is.
#pragma once

#include <cmath>
#include <sstream>

#include "engine/base/volume.h"
#include "tests/support/catch.h"

namespace sr::test {

struct Difference {
  double relative;  // largest |a - b| / largest |b|; NaN if any voxel is
  std::string where;
};

inline Difference difference(const Volume& a, const Volume& b) {
  REQUIRE(a.size == b.size);
  REQUIRE(!b.data.empty());
  double largest = 0, worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < b.data.size(); ++i) {
    largest = std::max(largest, std::abs(static_cast<double>(b.data[i])));
    const double d = std::abs(static_cast<double>(a.data[i]) - b.data[i]);
    if (!(d <= worst)) {
      worst = d;
      at = i;
      if (std::isnan(d)) break;
    }
  }
  const size_t w = static_cast<size_t>(a.size.w), h = static_cast<size_t>(a.size.h);
  std::ostringstream where;
  where << "worst at (z " << at / (w * h) << ", y " << at / w % h << ", x " << at % w << "): " << a.data[at]
        << " instead of " << b.data[at] << ", " << worst / largest << " of the largest voxel";
  return {worst / largest, where.str()};
}

// The whole volume agrees to `tolerance`, relative to the largest voxel; says how much of it was used.
inline void check_close(const Volume& a, const Volume& b, double tolerance) {
  const Difference d = difference(a, b);
  INFO(d.where << "; allowed " << tolerance);
  CHECK(d.relative <= tolerance);
}

}  // namespace sr::test
