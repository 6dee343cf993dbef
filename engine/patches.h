// The grid of patches over a volume: overlapping patches whose interiors tile it, so that every output voxel comes from
// exactly one patch (docs/spec.md section 4). Default: patch 70, margin 3, stride 64.
#pragma once

#include "engine/status.h"
#include "kernels/patch.h"

namespace sr {

struct PatchGrid {
  Size3 volume, patch;
  int margin;      // voxels of each face whose results are not kept
  int nz, ny, nx;  // patches along each axis

  int count() const { return nz * ny * nx; }
  Origin origin(int i) const;  // 0 <= i < count(), x fastest; the first one is at -margin
};

// Throws Error{bad_usage} where the margin leaves nothing of the patch.
PatchGrid make_patch_grid(Size3 volume, Size3 patch, int margin);

}  // namespace sr
