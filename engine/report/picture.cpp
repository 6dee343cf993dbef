#include "engine/report/picture.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

#include "engine/base/status.h"
#include "engine/report/font5x7.h"
#include "engine/report/png_image.h"
#include "engine/report/view.h"

namespace sr {
namespace {

constexpr int cell_height_max = 360;  // pixels of the tallest slice
constexpr int gap = 6, text_scale = 2, text_height = glyph_rows * text_scale + 2 * gap;
constexpr int detail_zoom = 4;
constexpr double difference_gain = 5;

// A grey picture to draw on.
struct Canvas : Image {
  Canvas(int w, int h) : Image(w, h, 1) {}
  void set(int x, int y, uint8_t value) {
    if (x >= 0 && y >= 0 && x < width && y < height) *at(x, y) = value;
  }
  // Text from (x, y) on, cut where `room` pixels end.
  void text(int x, int y, int room, std::string_view line, int scale) {
    const int advance = (glyph_columns + 1) * scale;
    draw_text(line.substr(0, static_cast<size_t>(std::max(room / advance, 0))), x, y, scale,
              [this](int px, int py) { set(px, py, 235); });
  }
  void frame(int x, int y, int w, int h) {
    for (int i = 0; i <= w; ++i) set(x + i, y, 255), set(x + i, y + h, 255);
    for (int i = 0; i <= h; ++i) set(x, y + i, 255), set(x + w, y + i, 255);
  }
};

}  // namespace

std::vector<uint8_t> comparison_png(const std::vector<NamedVolume>& volumes, const double (&affine)[4][4]) {
  if (volumes.empty()) throw Error(Status::bad_usage, "a picture needs at least one volume");
  const Volume& reference = *volumes.back().volume;
  for (const NamedVolume& v : volumes)
    if (v.volume->size != reference.size || reference.data.empty())
      throw Error(Status::bad_usage, fmt::format("the volumes of a picture differ in size: {}", v.name));

  const std::array<View, 3> views = make_views(reference.size, affine, cell_height_max);
  const View& axial = views[0];
  const Window window = window_of(reference);
  const int column = std::max(views[0].pixels[0], views[2].pixels[0]);
  int height = text_height;
  for (const View& v : views) height += v.pixels[1] + gap;
  const int detail_height = column * 3 / 4;
  height += detail_height + gap + axial.pixels[1];
  Canvas canvas(static_cast<int>(volumes.size()) * (column + gap) - gap, height);

  const Detail detail = choose_detail(axial, column / detail_zoom, detail_height / detail_zoom);

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
      if (&v == &axial) canvas.frame(x0 + detail.x, top + detail.y, detail.w, detail.h);
      top += v.pixels[1] + gap;
    }
    for (int y = 0; y < detail_height; ++y)
      for (int x = 0; x < column; ++x) {
        const double u = detail.x + (x + 0.5) / detail_zoom - 0.5, v = detail.y + (y + 0.5) / detail_zoom - 0.5;
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
  return encode_png(canvas);
}

}  // namespace sr
