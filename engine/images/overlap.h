// How far two segmentations agree: Dice and Jaccard coefficients of each label (docs/spec.md, section 8).
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/volume.h"

namespace sr {

struct LabelOverlap {
  int32_t label;
  int64_t n_reference, n_test, n_both;  // voxels
  double dice() const { return 2.0 * static_cast<double>(n_both) / static_cast<double>(n_reference + n_test); }
  double jaccard() const { return static_cast<double>(n_both) / static_cast<double>(n_reference + n_test - n_both); }
};

// Every label but 0 that either volume holds, in rising order. Throws Error{bad_input} where the sizes differ, a voxel
// is no whole number of at most 24 bits (what float32 holds exactly), there are more than 65536 labels (an image, no
// segmentation), or neither volume holds a label.
std::vector<LabelOverlap> label_overlap(const Volume& reference, const Volume& test);

}  // namespace sr
