#include "engine/images/flips.h"

#include <algorithm>
#include <cmath>

namespace sr {

Volume flip(const Volume& volume, int axes) {
  const auto [d, h, w] = volume.size;
  Volume out(volume.size);
  for (int z = 0; z < d; z++)
    for (int y = 0; y < h; y++) {
      const float* from = &volume.data[(static_cast<size_t>(axes & 4 ? d - 1 - z : z) * static_cast<size_t>(h) +
                                        static_cast<size_t>(axes & 2 ? h - 1 - y : y)) *
                                       static_cast<size_t>(w)];
      float* to = &out.at(z, y, 0);
      if (axes & 1)
        std::reverse_copy(from, from + w, to);
      else
        std::copy_n(from, w, to);
    }
  return out;
}

// Welford's recurrence: no sum of squares from which a nearly equal one is subtracted.
MeanAndSd mean_and_sd(int n, const std::function<Volume(int which)>& answer) {
  MeanAndSd all{answer(0), {}};
  if (n == 1) return all;
  all.sd = Volume(all.mean.size);
  std::vector<float>&mean = all.mean.data, &squares = all.sd.data;
  for (int which = 1; which < n; which++) {
    const Volume next = answer(which);
    const float share = 1 / static_cast<float>(which + 1);
    for (size_t i = 0; i < mean.size(); i++) {
      const float off = next.data[i] - mean[i];
      mean[i] += off * share;
      squares[i] += off * (next.data[i] - mean[i]);
    }
  }
  const float divisor = static_cast<float>(n - 1);
  for (float& v : squares) v = std::sqrt(std::max(0.0f, v) / divisor);
  return all;
}

}  // namespace sr
