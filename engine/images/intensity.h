// Intensity normalisation: the a and b of x' = (x - a) / b, measured on a scan by the rule in its weights file.
#pragma once

#include "engine/base/volume.h"
#include "kernels/patch.h"
#include "weights/normalization.h"

namespace sr {

// b is 1 where the rule would give 0 (a constant or empty volume): such a scan passes through unscaled.
Intensity measure_intensity(const Normalization& rule, const Volume& volume);

}  // namespace sr
