#include "engine/images/seams.h"

#include <fmt/core.h>

#include <cmath>

#include "engine/base/status.h"

namespace sr {
namespace {

struct Jumps {
  double sum = 0;
  int64_t n = 0;
};

}  // namespace

Seams measure_seams(const Volume& reference, const Volume& test, int stride, float floor) {
  if (stride < 2)
    throw Error(Status::bad_usage, fmt::format("a distance of {} between patch borders makes no sense; the default "
                                               "patches meet every 64 voxels",
                                               stride));
  const int d = reference.size.d, h = reference.size.h, w = reference.size.w;
  const ptrdiff_t steps[3] = {ptrdiff_t{h} * w, w, 1};
  std::vector<Jumps> border(static_cast<size_t>(d)), other(static_cast<size_t>(d));  // of each slice
#pragma omp parallel for schedule(static)
  for (int z = 0; z < d; z++) {
    Jumps at_border, elsewhere;
    for (int y = 0; y < h; y++)
      for (int x = 0; x < w; x++) {
        const ptrdiff_t here = (ptrdiff_t{z} * h + y) * w + x;
        const int place[3] = {z, y, x};
        for (int axis = 0; axis < 3; axis++) {
          if (place[axis] == 0) continue;
          const size_t a = static_cast<size_t>(here), b = static_cast<size_t>(here - steps[axis]);
          if (!(reference.data[a] > floor && reference.data[b] > floor)) continue;
          const double jump = (static_cast<double>(test.data[a]) - reference.data[a]) -
                              (static_cast<double>(test.data[b]) - reference.data[b]);
          Jumps& to = place[axis] % stride == 0 ? at_border : elsewhere;
          to.sum += std::abs(jump);
          to.n++;
        }
      }
    border[z] = at_border;
    other[z] = elsewhere;
  }
  Jumps at_border, elsewhere;  // added in the order of the slices
  for (const Jumps& j : border) at_border.sum += j.sum, at_border.n += j.n;
  for (const Jumps& j : other) elsewhere.sum += j.sum, elsewhere.n += j.n;
  if (at_border.n == 0 || elsewhere.n == 0)
    throw Error(
        Status::bad_input,
        fmt::format("no patch border lies inside the head: the image is smaller than {} voxels or empty", stride));
  return {at_border.sum / static_cast<double>(at_border.n), elsewhere.sum / static_cast<double>(elsewhere.n),
          at_border.n};
}

}  // namespace sr
