// Slices as they are drawn: upright, with the patient's right on the left side as radiologists have it, voxels in their
// proportions.
#pragma once

#include <array>
#include <cstdint>

#include "engine/base/volume.h"

namespace sr {

// A slice of the volume: columns along one voxel axis, rows along another, `pixels` wide and high.
struct View {
  const char* name;  // "AXIAL"
  int axis[3];       // of columns, rows and the direction through the slice
  bool flip[2];
  int slice;
  int n[2];       // voxels along columns and rows
  int pixels[2];  // size of the cell

  // The volume at a place in the cell, interpolated linearly; columns and rows in pixels.
  double sample(const Volume& volume, double column, double row) const;
};

// An axial, a coronal and a sagittal slice. `affine` (voxels to mm) says where up is; the tallest cell has height_max
// pixels.
std::array<View, 3> make_views(Size3 size, const double (&affine)[4][4], int height_max);

// A part of the axial cell, a little off its centre, where cortex, white matter and ventricles meet. In pixels.
struct Detail {
  int x, y, w, h;
};
Detail choose_detail(const View& axial, int w, int h);

// Grey levels: low is black, high is white.
struct Window {
  double low, high;
  uint8_t operator()(double value) const;
};

// From the 0.5th to the 99.8th percentile of the volume.
Window window_of(const Volume& volume);

}  // namespace sr
