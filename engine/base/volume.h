// One scalar volume in memory: float32, index [z][y][x] with x contiguous, which is NIfTI's (k, j, i).
#pragma once

#include <cstddef>
#include <vector>

#include "engine/base/size3.h"

namespace sr {

struct Volume {
  Size3 size{0, 0, 0};
  std::vector<float> data;

  Volume() = default;
  explicit Volume(Size3 s) : size(s), data(static_cast<size_t>(s.voxels())) {}
  float& at(int z, int y, int x) { return data[index(z, y, x)]; }
  float at(int z, int y, int x) const { return data[index(z, y, x)]; }

 private:
  size_t index(int z, int y, int x) const {
    return (static_cast<size_t>(z) * static_cast<size_t>(size.h) + static_cast<size_t>(y)) *
               static_cast<size_t>(size.w) +
           static_cast<size_t>(x);
  }
};

}  // namespace sr
