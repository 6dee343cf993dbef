// The noise of magnitude images.
#pragma once

#include <cstdint>

#include "engine/base/volume.h"

namespace sr {

// Each voxel m becomes |m + n1 + i n2|, n1 and n2 normal with this standard deviation: Rician, as the magnitude of a
// complex image with noise in both parts (Gudbjartsson, Patz, Magn Reson Med 34:910, 1995; the phase of m does not
// matter). A seed gives the same noise on every machine and for any number of threads.
void add_rician_noise(Volume& volume, double sd, uint64_t seed);

}  // namespace sr
