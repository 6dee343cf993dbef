#include "engine/backends/patches.h"

#include <fmt/core.h>

#include <algorithm>

namespace sr {

PatchGrid make_patch_grid(Size3 volume, Size3 patch, int margin) {
  const int smallest = std::min({patch.d, patch.h, patch.w});
  if (margin < 0 || 2 * margin >= smallest)
    throw Error(Status::bad_usage,
                fmt::format("a margin of {} voxels leaves nothing of a patch of {}x{}x{}; it must be "
                            "at least 0 and below half the patch",
                            margin, patch.w, patch.h, patch.d));
  const auto patches_along = [&](int n, int size) { return (n + size - 2 * margin - 1) / (size - 2 * margin); };
  return {volume,
          patch,
          margin,
          patches_along(volume.d, patch.d),
          patches_along(volume.h, patch.h),
          patches_along(volume.w, patch.w)};
}

Origin PatchGrid::origin(int i) const {
  const int ix = i % nx, iy = i / nx % ny, iz = i / nx / ny;
  return {iz * (patch.d - 2 * margin) - margin, iy * (patch.h - 2 * margin) - margin,
          ix * (patch.w - 2 * margin) - margin};
}

Box PatchGrid::interior(int i) const {
  const Origin o = origin(i);
  return {o.z + margin, std::min(volume.d, o.z + patch.d - margin),
          o.y + margin, std::min(volume.h, o.y + patch.h - margin),
          o.x + margin, std::min(volume.w, o.x + patch.w - margin)};
}

// A mirrored plane lies no further in than those that the patch reads as they are: its margin is less than half of it.
int PatchGrid::planes_read(int n) const {
  return n == 0 ? 0 : std::min(volume.d, origin(n - 1).z + patch.d);
}

int PatchGrid::planes_done(int n) const {
  return n == count() ? volume.d : n / (ny * nx) * (patch.d - 2 * margin);
}

}  // namespace sr
