// The grid of patches over a volume: overlapping patches whose interiors tile it, so that every output voxel comes from
// exactly one patch (docs/spec.md section 4). Default: patch 70, margin 3, stride 64.
#pragma once

#include "engine/base/status.h"
#include "kernels/patch.h"

namespace sr {

// Voxels z0 <= z < z1, and so on.
struct Box {
  int z0, z1, y0, y1, x0, x1;
};

struct PatchGrid {
  Size3 volume, patch;
  int margin;      // voxels of each face whose results are not kept
  int nz, ny, nx;  // patches along each axis

  int count() const { return nz * ny * nx; }
  Origin origin(int i) const;  // 0 <= i < count(), x fastest; the first one is at -margin
  Box interior(int i) const;   // the voxels of the volume that patch i writes

  // How many of the volume's first z-planes patches 0 .. n - 1 read, and how many are done when these are: no patch
  // from n on writes to them. 0 <= n <= count().
  int planes_read(int n) const;
  int planes_done(int n) const;
};

// Throws Error{bad_usage} where the margin leaves nothing of the patch.
PatchGrid make_patch_grid(Size3 volume, Size3 patch, int margin);

}  // namespace sr
