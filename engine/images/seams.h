// Whether patch borders show: how much the error of an image jumps from voxel to voxel where two patches meet, against
// elsewhere.
#pragma once

#include "engine/base/volume.h"

namespace sr {

struct Seams {
  double at_borders;  // mean |jump| of (test - reference) across planes where patches meet
  double elsewhere;   // the same across all other neighbouring planes of voxels
  int64_t n_borders;  // pairs of voxels that lie across a border
  double ratio() const { return at_borders / elsewhere; }  // 1: borders do not show
};

// Patches meet between voxels n * stride - 1 and n * stride of every axis, n = 1, 2, ... (patch - 2 * margin apart; 64
// for the default 70 and 3). Only pairs whose two reference voxels exceed `floor` count: air would dilute the figure.
// Throws Error{bad_usage} for a stride below 2, Error{bad_input} where no such border lies in the volume or nothing
// exceeds the floor.
Seams measure_seams(const Volume& reference, const Volume& test, int stride, float floor);

}  // namespace sr
