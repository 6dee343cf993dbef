// What one step of training sees.
#pragma once

#include <vector>

#include "kernels/features.h"

namespace sr::train {

// Patches of interpolated low-resolution scans and of the high-resolution scans they come from, both normalised with
// the numbers of the former. Example: 6 patches of 40x40x40.
struct Batch {
  int n = 0;
  Size3 size{0, 0, 0};
  std::vector<float> input, target;  // [n][z][y][x]
};

}  // namespace sr::train
