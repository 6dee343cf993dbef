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

constexpr int kCellHeightMax = 360;  // pixels of the tallest slice
constexpr int kGap = 6, kTextScale = 2, kTextHeight = kGlyphRows * kTextScale + 2 * kGap;
constexpr int kDetailZoom = 4;
constexpr double kDifferenceGain = 5;

// A grey picture to draw on.
struct Canvas : Image {
  Canvas(int w, int h) : Image(w, h, 1) {}
  void set(int x, int y, uint8_t value) {
    if (x >= 0 && y >= 0 && x < width && y < height) *at(x, y) = value;
  }
  // Text from (x, y) on, cut where `room` pixels end.
  void text(int x, int y, int room, std::string_view line, int scale) {
    const int advance = (kGlyphColumns + 1) * scale;
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

  const std::array<View, 3> views = make_views(reference.size, affine, kCellHeightMax);
  const View& axial = views[0];
  const Window window = window_of(reference);
  const int column = std::max(views[0].pixels[0], views[2].pixels[0]);
  int height = kTextHeight;
  for (const View& v : views) height += v.pixels[1] + kGap;
  const int detail_height = column * 3 / 4;
  height += detail_height + kGap + axial.pixels[1];
  Canvas canvas(static_cast<int>(volumes.size()) * (column + kGap) - kGap, height);

  const Detail detail = choose_detail(axial, column / kDetailZoom, detail_height / kDetailZoom);

  for (size_t i = 0; i < volumes.size(); ++i) {
    const Volume& volume = *volumes[i].volume;
    const int left = static_cast<int>(i) * (column + kGap);
    int top = kTextHeight;
    canvas.text(left + kGap, kGap, column - kGap, volumes[i].name, kTextScale);
    for (const View& v : views) {
      const int x0 = left + (column - v.pixels[0]) / 2;
      for (int y = 0; y < v.pixels[1]; ++y)
        for (int x = 0; x < v.pixels[0]; ++x) canvas.set(x0 + x, top + y, window(v.sample(volume, x, y)));
      if (i == 0) canvas.text(left + kGap, top + kGap, column, v.name, 1);
      if (i == 0 && &v != &views[2]) canvas.text(left + kGap, top + v.pixels[1] / 2, column, "R", kTextScale);
      if (&v == &axial) canvas.frame(x0 + detail.x, top + detail.y, detail.w, detail.h);
      top += v.pixels[1] + kGap;
    }
    for (int y = 0; y < detail_height; ++y)
      for (int x = 0; x < column; ++x) {
        const double u = detail.x + (x + 0.5) / kDetailZoom - 0.5, v = detail.y + (y + 0.5) / kDetailZoom - 0.5;
        canvas.set(left + x, top + y, window(axial.sample(volume, u, v)));
      }
    if (i == 0) canvas.text(left + kGap, top + kGap, column, "DETAIL", 1);
    top += detail_height + kGap;
    if (&volume == &reference) continue;
    const int x0 = left + (column - axial.pixels[0]) / 2;
    for (int y = 0; y < axial.pixels[1]; ++y)
      for (int x = 0; x < axial.pixels[0]; ++x) {
        const double difference = std::abs(axial.sample(volume, x, y) - axial.sample(reference, x, y));
        canvas.set(x0 + x, top + y, window(window.low + kDifferenceGain * difference));
      }
    if (i == 0) canvas.text(left + kGap, top + kGap, column, "ABSOLUTE DIFFERENCE X5", 1);
  }
  return encode_png(canvas);
}

}  // namespace sr
