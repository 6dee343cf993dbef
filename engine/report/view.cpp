#include "engine/report/view.h"

#include <algorithm>
#include <cmath>

namespace sr {
namespace {

// Which voxel axis runs along a world axis (0 = to the right, 1 = forwards, 2 = upwards), and whether against it.
struct AxisDirection {
  int axis;
  bool reversed;
};

// Voxel axes matched to world axes, the clearest pair first.
std::array<AxisDirection, 3> match_axes(const double (&affine)[4][4], const double (&voxel_mm)[3]) {
  std::array<AxisDirection, 3> match{{{0, false}, {1, false}, {2, false}}};
  bool world_done[3] = {}, axis_done[3] = {};
  for (int round = 0; round < 3; ++round) {
    int best_world = -1, best_axis = -1;
    double best = -1;
    for (int w = 0; w < 3; ++w)
      for (int a = 0; a < 3; ++a)
        if (!world_done[w] && !axis_done[a] && std::abs(affine[w][a]) / voxel_mm[a] > best) {
          best = std::abs(affine[w][a]) / voxel_mm[a];
          best_world = w;
          best_axis = a;
        }
    if (best_world < 0) break;  // not finite: as stored
    world_done[best_world] = axis_done[best_axis] = true;
    match[best_world] = {best_axis, affine[best_world][best_axis] < 0};
  }
  return match;
}

}  // namespace

double View::sample(const Volume& volume, double column, double row) const {
  double at[2] = {(column + 0.5) * n[0] / pixels[0] - 0.5, (row + 0.5) * n[1] / pixels[1] - 0.5};
  int low[2], high[2];
  for (int d = 0; d < 2; ++d) {
    at[d] = std::clamp(flip[d] ? n[d] - 1 - at[d] : at[d], 0.0, n[d] - 1.0);
    low[d] = static_cast<int>(at[d]);
    high[d] = std::min(low[d] + 1, n[d] - 1);
    at[d] -= low[d];
  }
  const auto voxel = [&](int c, int r) {
    int ijk[3] = {};
    ijk[axis[0]] = c;
    ijk[axis[1]] = r;
    ijk[axis[2]] = slice;
    return static_cast<double>(volume.at(ijk[2], ijk[1], ijk[0]));
  };
  return (1 - at[1]) * ((1 - at[0]) * voxel(low[0], low[1]) + at[0] * voxel(high[0], low[1])) +
         at[1] * ((1 - at[0]) * voxel(low[0], high[1]) + at[0] * voxel(high[0], high[1]));
}

std::array<View, 3> make_views(Size3 size, const double (&affine)[4][4], int height_max) {
  const int n[3] = {size.w, size.h, size.d};
  double voxel_mm[3];
  for (int a = 0; a < 3; ++a) {
    voxel_mm[a] = std::sqrt(affine[0][a] * affine[0][a] + affine[1][a] * affine[1][a] + affine[2][a] * affine[2][a]);
    if (!(voxel_mm[a] > 0)) voxel_mm[a] = 1;
  }
  const auto [right, front, top] = match_axes(affine, voxel_mm);
  double tallest = 0;
  for (const int a : {front.axis, top.axis}) tallest = std::max(tallest, n[a] * voxel_mm[a]);
  const double pixels_per_mm = height_max / tallest;
  // Rows run downwards on the screen. Columns run to the patient's left, or forwards in the sagittal view.
  const auto view = [&](const char* name, AxisDirection across, bool flip_across, AxisDirection up,
                        AxisDirection through, double place) {
    const int k = static_cast<int>(std::lround(place * (n[through.axis] - 1)));
    View v{name,
           {across.axis, up.axis, through.axis},
           {across.reversed != flip_across, !up.reversed},
           through.reversed ? n[through.axis] - 1 - k : k,
           {n[across.axis], n[up.axis]},
           {}};
    for (int d = 0; d < 2; ++d)
      v.pixels[d] = std::max(1, static_cast<int>(std::lround(v.n[d] * voxel_mm[v.axis[d]] * pixels_per_mm)));
    return v;
  };
  // The sagittal slice lies beside the midline, which shows little but the gap between the hemispheres. `place` is
  // counted to the right, forwards or upwards.
  return {view("AXIAL", right, true, front, top, 0.56), view("CORONAL", right, true, top, front, 0.5),
          view("SAGITTAL", front, false, top, right, 0.42)};
}

Detail choose_detail(const View& axial, int w, int h) {
  return {axial.pixels[0] * 27 / 100 - w / 2, axial.pixels[1] * 32 / 100 - h / 2, w, h};
}

uint8_t Window::operator()(double value) const {
  return static_cast<uint8_t>(std::lround(255 * std::clamp((value - low) / (high - low), 0.0, 1.0)));
}

Window window_of(const Volume& volume) {
  std::vector<float> sorted = volume.data;
  const auto percentile = [&](double p) {
    const auto nth = sorted.begin() + static_cast<ptrdiff_t>(p * static_cast<double>(sorted.size() - 1));
    std::nth_element(sorted.begin(), nth, sorted.end());
    return static_cast<double>(*nth);
  };
  const double low = percentile(0.005), high = percentile(0.998);
  return {low, high > low ? high : low + 1};
}

}  // namespace sr
