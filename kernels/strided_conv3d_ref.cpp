#include "kernels/strided_conv3d.h"

namespace sr {
namespace {

// f(weight, number of x, number of y) for every product of the convolution; the two numbers count from the start of
// the sample.
template <class F>
void for_products(const StridedConv& conv, F f) {
  const Size3 in = conv.in, out = conv.out();
  const int before = conv.size / 2;
  int64_t weight = 0;
  for (int co = 0; co < conv.co; co++)
    for (int ci = 0; ci < conv.ci; ci++)
      for (int tz = 0; tz < conv.size; tz++)
        for (int ty = 0; ty < conv.size; ty++)
          for (int tx = 0; tx < conv.size; tx++, weight++)
            for (int oz = 0; oz < out.d; oz++)
              for (int oy = 0; oy < out.h; oy++)
                for (int ox = 0; ox < out.w; ox++) {
                  const int z = conv.stride * oz + tz - before;
                  const int y = conv.stride * oy + ty - before;
                  const int x = conv.stride * ox + tx - before;
                  if (z < 0 || z >= in.d || y < 0 || y >= in.h || x < 0 || x >= in.w) continue;
                  f(weight, ((int64_t{ci} * in.d + z) * in.h + y) * in.w + x,
                    ((int64_t{co} * out.d + oz) * out.h + oy) * out.w + ox);
                }
}

}  // namespace

void strided_conv3d_forward_ref(const StridedConv& conv, int n, const double* weight, const double* x, double* y) {
  const int64_t in = conv.ci * conv.in.voxels(), out = conv.co * conv.out().voxels();
  for (int s = 0; s < n; s++, x += in, y += out) {
    for (int64_t i = 0; i < out; i++) y[i] = 0;
    for_products(conv, [&](int64_t w, int64_t i, int64_t o) { y[o] += weight[w] * x[i]; });
  }
}

void strided_conv3d_backward_data_ref(const StridedConv& conv, int n, const double* weight, const double* dy,
                                      double* dx) {
  const int64_t in = conv.ci * conv.in.voxels(), out = conv.co * conv.out().voxels();
  for (int s = 0; s < n; s++, dx += in, dy += out) {
    for (int64_t i = 0; i < in; i++) dx[i] = 0;
    for_products(conv, [&](int64_t w, int64_t i, int64_t o) { dx[i] += weight[w] * dy[o]; });
  }
}

void strided_conv3d_backward_weights_ref(const StridedConv& conv, int n, const double* x, const double* dy,
                                         double* dweight) {
  const int64_t in = conv.ci * conv.in.voxels(), out = conv.co * conv.out().voxels();
  for (int s = 0; s < n; s++, x += in, dy += out)
    for_products(conv, [&](int64_t w, int64_t i, int64_t o) { dweight[w] += dy[o] * x[i]; });
}

}  // namespace sr
