#include "engine/images/noise.h"

#include <cmath>

#include "engine/base/lattice_noise.h"

namespace sr {

void add_rician_noise(Volume& volume, double sd, uint64_t seed) {
  const uint64_t first = mix_bits(seed ^ 0x6e6f697365);
  const int64_t n = static_cast<int64_t>(volume.data.size());
#pragma omp parallel for schedule(static)
  for (int64_t i = 0; i < n; ++i) {
    const uint64_t counter = first + 2 * static_cast<uint64_t>(i);  // counted by voxel, not drawn in turn
    float& voxel = volume.data[i];
    voxel = static_cast<float>(std::hypot(voxel + sd * normal(counter), sd * normal(counter + 1)));
  }
}

}  // namespace sr
