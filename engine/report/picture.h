// Comparison pictures: what a restoration did, at a glance.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/volume.h"

namespace sr {

struct NamedVolume {
  std::string name;      // the caption; A-Z 0-9 . - _ / + : % = ( ) and spaces are drawn, lower case as upper case
  const Volume* volume;  // all of one size
};

// A grey PNG. Columns: the volumes, the reference last. Rows: an axial, a coronal and a sagittal slice, a detail of the
// axial one four times as large (its place is framed), and the absolute difference of the axial slices to the
// reference, five times as bright. All share the window of the reference (0.5th to 99.8th percentile).
// `affine` (voxels to mm) turns the slices upright, with the patient's right on the left side as radiologists have it,
// and gives voxels their proportions. Throws Error{bad_usage} for an empty list or sizes that differ.
std::vector<uint8_t> comparison_png(const std::vector<NamedVolume>& volumes, const double (&affine)[4][4]);

}  // namespace sr
