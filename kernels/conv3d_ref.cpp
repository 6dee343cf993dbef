#include <cmath>
#include <vector>

#include "kernels/conv3d.h"

namespace sr {

// f and y are (channel, d, h, w); the loops are the sums of conv3d.h, in the order in which they are written there.
void conv3d_forward_ref(Features<double> f, Channels x, Prologue<double> prologue, const ConvWeights& conv, Channels y,
                        ChannelSums* sums) {
  const auto [d, h, w] = f.layout.size;
  const int size = conv.size, r = size / 2;

  std::vector<double> a(static_cast<size_t>(x.count * f.layout.size.voxels()));  // (ci, d, h, w), activated
  const auto activated = [&](int ci, int z, int yy, int xx) -> double& {
    return a[((int64_t{ci} * d + z) * h + yy) * w + xx];
  };
  for (int ci = 0; ci < x.count; ci++)
    for (int z = 0; z < d; z++)
      for (int yy = 0; yy < h; yy++)
        for (int xx = 0; xx < w; xx++) {
          double t = f.at(x.first + ci, z, yy)[xx];
          if (prologue.scale) {
            t = prologue.scale[ci] * t + prologue.shift[ci];
            t = t >= 0 ? t : prologue.slope ? prologue.slope[ci] * t : std::expm1(t);
          }
          activated(ci, z, yy, xx) = t;
        }

  for (int co = 0; co < conv.co; co++) {
    ChannelSums s;
    for (int z = 0; z < d; z++)
      for (int yy = 0; yy < h; yy++)
        for (int xx = 0; xx < w; xx++) {
          double t = conv.bias ? conv.bias[co] : 0.0;
          for (int ci = 0; ci < conv.ci; ci++)
            for (int kz = 0; kz < size; kz++)
              for (int ky = 0; ky < size; ky++)
                for (int kx = 0; kx < size; kx++) {
                  const int iz = z + kz - r, iy = yy + ky - r, ix = xx + kx - r;
                  if (iz < 0 || iy < 0 || ix < 0 || iz >= d || iy >= h || ix >= w) continue;
                  const int tap = (kz * size + ky) * size + kx;
                  t += double{conv.weight[(int64_t{co} * conv.ci + ci) * size * size * size + tap]} *
                       activated(ci, iz, iy, ix);
                }
          f.at(y.first + co, z, yy)[xx] = t;
          s.sum += t;
          s.sum_of_squares += t * t;
        }
    if (sums) sums[co] = s;
  }
}

}  // namespace sr
