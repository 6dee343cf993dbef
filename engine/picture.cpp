#include "engine/picture.h"

#include <fmt/core.h>
#include <png.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "engine/font5x7.h"
#include "engine/status.h"

namespace sr {
namespace {

constexpr int cell_height_max = 360;  // pixels of the tallest slice
constexpr int gap = 6, text_scale = 2, text_height = glyph_rows * text_scale + 2 * gap;
constexpr int detail_zoom = 4;
constexpr double difference_gain = 5;

// A grey picture to draw on.
struct Canvas {
  Canvas(int w, int h) : width(w), height(h), grey(static_cast<size_t>(w) * static_cast<size_t>(h)) {}
  void set(int x, int y, uint8_t value) {
    if (x >= 0 && y >= 0 && x < width && y < height)
      grey[static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x)] = value;
  }
  // Text from (x, y) on, cut where `room` pixels end.
  void text(int x, int y, int room, std::string_view line, int scale) {
    const int advance = (glyph_columns + 1) * scale;
    for (const char c : line.substr(0, static_cast<size_t>(std::max(room / advance, 0)))) {
      const Glyph g = glyph(c);
      for (int column = 0; column < glyph_columns * scale; ++column)
        for (int row = 0; row < glyph_rows * scale; ++row)
          if (g[static_cast<size_t>(column / scale)] >> (row / scale) & 1) set(x + column, y + row, 235);
      x += advance;
    }
  }
  void frame(int x, int y, int w, int h) {
    for (int i = 0; i <= w; ++i) set(x + i, y, 255), set(x + i, y + h, 255);
    for (int i = 0; i <= h; ++i) set(x, y + i, 255), set(x + w, y + i, 255);
  }
  int width, height;
  std::vector<uint8_t> grey;
};

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
    match[static_cast<size_t>(best_world)] = {best_axis, affine[best_world][best_axis] < 0};
  }
  return match;
}

// A slice of the volume as it is drawn: columns along one voxel axis, rows along another, `pixels` wide and high.
struct View {
  const char* name;
  int axis[3];  // of columns, rows and the direction through the slice
  bool flip[2];
  int slice;
  int n[2];       // voxels along columns and rows
  int pixels[2];  // size of the cell

  // The volume at a place in the cell, interpolated linearly; columns and rows in pixels.
  double sample(const Volume& volume, double column, double row) const {
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
};

std::array<View, 3> make_views(Size3 size, const double (&affine)[4][4]) {
  const int n[3] = {size.w, size.h, size.d};
  double voxel_mm[3];
  for (int a = 0; a < 3; ++a) {
    voxel_mm[a] = std::sqrt(affine[0][a] * affine[0][a] + affine[1][a] * affine[1][a] + affine[2][a] * affine[2][a]);
    if (!(voxel_mm[a] > 0)) voxel_mm[a] = 1;
  }
  const auto [right, front, top] = match_axes(affine, voxel_mm);
  double tallest = 0;
  for (const int a : {front.axis, top.axis}) tallest = std::max(tallest, n[a] * voxel_mm[a]);
  const double pixels_per_mm = cell_height_max / tallest;
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

// Grey levels of the reference's window.
struct Window {
  double low, high;
  uint8_t operator()(double value) const {
    return static_cast<uint8_t>(std::lround(255 * std::clamp((value - low) / (high - low), 0.0, 1.0)));
  }
};

Window window_of(const Volume& reference) {
  std::vector<float> sorted = reference.data;
  const auto percentile = [&](double p) {
    const auto nth = sorted.begin() + static_cast<ptrdiff_t>(p * static_cast<double>(sorted.size() - 1));
    std::nth_element(sorted.begin(), nth, sorted.end());
    return static_cast<double>(*nth);
  };
  const double low = percentile(0.005), high = percentile(0.998);
  return {low, high > low ? high : low + 1};
}

void write_png(const std::filesystem::path& path, const Canvas& canvas) {
  std::filesystem::path beside = path;
  beside += ".part";
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(canvas.width);
  png.height = static_cast<png_uint_32>(canvas.height);
  png.format = PNG_FORMAT_GRAY;
  std::error_code error;
  const bool written = png_image_write_to_file(&png, beside.c_str(), 0, canvas.grey.data(), 0, nullptr) != 0;
  if (written) std::filesystem::rename(beside, path, error);
  if (written && !error) return;
  const std::string why = written ? error.message() : png.message;
  std::filesystem::remove(beside, error);
  throw Error(Status::bad_output, fmt::format("{}: the picture cannot be written ({})", path.string(), why));
}

}  // namespace

void write_comparison_png(const std::filesystem::path& path, const std::vector<NamedVolume>& volumes,
                          const double (&affine)[4][4]) {
  if (volumes.empty()) throw Error(Status::bad_usage, "a picture needs at least one volume");
  const Volume& reference = *volumes.back().volume;
  for (const NamedVolume& v : volumes)
    if (v.volume->size != reference.size || reference.data.empty())
      throw Error(Status::bad_usage, fmt::format("the volumes of {} differ in size", path.string()));

  const std::array<View, 3> views = make_views(reference.size, affine);
  const View& axial = views[0];
  const Window window = window_of(reference);
  const int column = std::max(views[0].pixels[0], views[2].pixels[0]);
  int height = text_height;
  for (const View& v : views) height += v.pixels[1] + gap;
  const int detail_height = column * 3 / 4;
  height += detail_height + gap + axial.pixels[1];
  Canvas canvas(static_cast<int>(volumes.size()) * (column + gap) - gap, height);

  // The detail: a little off the centre of the axial slice, where cortex, white matter and ventricles meet.
  const int detail_w = column / detail_zoom, detail_h = detail_height / detail_zoom;
  const int detail_x = axial.pixels[0] * 27 / 100 - detail_w / 2, detail_y = axial.pixels[1] * 32 / 100 - detail_h / 2;

  for (size_t i = 0; i < volumes.size(); ++i) {
    const Volume& volume = *volumes[i].volume;
    const int left = static_cast<int>(i) * (column + gap);
    int top = text_height;
    canvas.text(left + gap, gap, column - gap, volumes[i].name, text_scale);
    for (const View& v : views) {
      const int x0 = left + (column - v.pixels[0]) / 2;
      for (int y = 0; y < v.pixels[1]; ++y)
        for (int x = 0; x < v.pixels[0]; ++x) canvas.set(x0 + x, top + y, window(v.sample(volume, x, y)));
      if (i == 0) canvas.text(left + gap, top + gap, column, v.name, 1);
      if (i == 0 && &v != &views[2]) canvas.text(left + gap, top + v.pixels[1] / 2, column, "R", text_scale);
      if (&v == &axial) canvas.frame(x0 + detail_x, top + detail_y, detail_w, detail_h);
      top += v.pixels[1] + gap;
    }
    for (int y = 0; y < detail_height; ++y)
      for (int x = 0; x < column; ++x) {
        const double u = detail_x + (x + 0.5) / detail_zoom - 0.5, v = detail_y + (y + 0.5) / detail_zoom - 0.5;
        canvas.set(left + x, top + y, window(axial.sample(volume, u, v)));
      }
    if (i == 0) canvas.text(left + gap, top + gap, column, "DETAIL", 1);
    top += detail_height + gap;
    if (&volume == &reference) continue;
    const int x0 = left + (column - axial.pixels[0]) / 2;
    for (int y = 0; y < axial.pixels[1]; ++y)
      for (int x = 0; x < axial.pixels[0]; ++x) {
        const double difference = std::abs(axial.sample(volume, x, y) - axial.sample(reference, x, y));
        canvas.set(x0 + x, top + y, window(window.low + difference_gain * difference));
      }
    if (i == 0) canvas.text(left + gap, top + gap, column, "ABSOLUTE DIFFERENCE X5", 1);
  }
  write_png(path, canvas);
}

}  // namespace sr
