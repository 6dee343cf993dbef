// Feature maps as they lie on a device (kernels/cuda/types.h), made by the host.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

namespace sr {

// Where a channel's voxel lies in a batch's maps of n_channels, a multiple of 4.
inline size_t quad_index(int n_channels, int64_t voxels, int patch, int channel, int64_t voxel) {
  return static_cast<size_t>((int64_t{patch} * n_channels + channel / 4 * 4) * voxels + 4 * voxel + channel % 4);
}

inline std::vector<float> normal_numbers(int64_t n, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::vector<float> numbers(static_cast<size_t>(n));
  for (float& number : numbers) number = normal(random);
  return numbers;
}

}  // namespace sr
