// From a low-resolution grid to a finer one, on the DFT's own geometry: sample n of an axis of M samples lies at n*N/M
// of an axis of N samples (docs/spec.md, section 6; no half-voxel shift).
#pragma once

#include "engine/base/volume.h"
#include "engine/images/kspace.h"
#include "weights/schema.h"

namespace sr {

//   nearest  the nearest sample; of two equally near ones the later
//   linear   between two samples, the paper's input
//   cubic    Catmull-Rom through four samples, edge samples repeated
//   sinc     zero-filled k-space (kspace.h), periodic
// Behind the last low-resolution sample the first three are constant.
// Throws Error{bad_usage} where `high` is smaller than low's grid on some axis.
Volume upsample(const Volume& low, Size3 high, Interpolation method);

// The native grid back from its linear interpolation: the samples that were kept as they are. Throws Error{bad_usage}
// where the factor N / M of some axis is no whole number, so that hardly any sample was kept.
Volume undo_linear(const Volume& image, Size3 low);

// The image as a scan of lower resolution would show it on the same grid: truncate_kspace, then upsample.
Volume degrade(const Volume& high, const Factors& factors, Interpolation way_back);

}  // namespace sr
