#include <array>
#include <utility>

#include "kernels/strided_conv3d.h"

namespace sr {
namespace {

// Along one axis: places first + stride m of the target, and the taps that reach them.
struct Axis {
  int first, count;
  int n_taps;
  std::array<std::pair<int, int>, 3> tap;  // offset in the source, tap of the convolution
};

// Of dy, for the voxels of parity `first`: o = (v + before - t) / stride, where that is whole.
Axis backward_axis(const StridedConv& conv, int first, int length) {
  Axis axis = {first, (length - first + conv.stride - 1) / conv.stride, 0, {}};
  for (int t = 0; t < conv.size; t++) {
    const int o = first + conv.size / 2 - t;
    if (o % conv.stride == 0) axis.tap[axis.n_taps++] = {o / conv.stride, t};
  }
  return axis;
}

Gather gather_of(const StridedConv& conv, const Axis& z, const Axis& y, const Axis& x) {
  Gather g{};
  g.grid = {z.count, y.count, x.count};
  g.first_z = z.first, g.first_y = y.first, g.first_x = x.first;
  for (int i = 0; i < z.n_taps; i++)
    for (int j = 0; j < y.n_taps; j++)
      for (int k = 0; k < x.n_taps; k++) {
        const auto [dz, tz] = z.tap[i];
        const auto [dy, ty] = y.tap[j];
        const auto [dx, tx] = x.tap[k];
        g.tap[g.n_taps++] = {dz, dy, dx, (tz * conv.size + ty) * conv.size + tx};
      }
  return g;
}

}  // namespace

GatherList forward_gathers(const StridedConv& conv) {
  const auto axis = [&](int length) {
    Axis a = {0, length, conv.size, {}};
    for (int t = 0; t < conv.size; t++) a.tap[t] = {t - conv.size / 2, t};
    return a;
  };
  const Size3 out = conv.out();
  GatherList list{1, {}};
  list.gather[0] = gather_of(conv, axis(out.d), axis(out.h), axis(out.w));
  list.gather[0].from = conv.in;
  list.gather[0].to = out;
  list.gather[0].from_stride = conv.stride;
  list.gather[0].to_stride = 1;
  return list;
}

GatherList backward_gathers(const StridedConv& conv) {
  GatherList list{0, {}};
  for (int z = 0; z < conv.stride; z++)
    for (int y = 0; y < conv.stride; y++)
      for (int x = 0; x < conv.stride; x++) {
        Gather g = gather_of(conv, backward_axis(conv, z, conv.in.d), backward_axis(conv, y, conv.in.h),
                             backward_axis(conv, x, conv.in.w));
        g.from = conv.out();
        g.to = conv.in;
        g.from_stride = 1;
        g.to_stride = conv.stride;
        if (g.grid.voxels() > 0) list.gather[list.n++] = g;
      }
  return list;
}

}  // namespace sr
