// Numbers below the least normal float, for tests of what becomes of them.
#pragma once

#include <algorithm>

#include "kernels/features.h"
#include "kernels/flush_subnormals.h"

namespace sr {

inline volatile float subnormal = 1e-39f;  // the compiler must not know it

// Of this thread and of one more that the kernels have had.
inline bool threads_keep_subnormals() {
  int kept = 0;
#pragma omp parallel num_threads(2) reduction(+ : kept)
  kept += subnormal * 0.5f > 0;
  return kept == 2;
}

inline bool all_zero(Features<const float> f, Channels channels) {
  for (int c = 0; c < channels.count; c++)
    for (int z = 0; z < f.layout.size.d; z++)
      for (int y = 0; y < f.layout.size.h; y++) {
        const float* row = f.at(channels.first + c, z, y);
        if (!std::all_of(row, row + f.layout.size.w, [](float v) { return v == 0; })) return false;
      }
  return true;
}

}  // namespace sr
