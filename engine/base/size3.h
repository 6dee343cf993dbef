// The extent of a volume or a patch.
#pragma once

#include <cstdint>

namespace sr {

// Extent of a volume in voxels: depth (slices, z), height (rows, y), width (x). Example: a patch is {70, 70, 70}.
struct Size3 {
  int d, h, w;
  int64_t voxels() const { return int64_t{d} * h * w; }
  friend bool operator==(const Size3&, const Size3&) = default;
};

}  // namespace sr
