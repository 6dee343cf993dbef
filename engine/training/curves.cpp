#include "engine/training/curves.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

#include "engine/report/font5x7.h"
#include "engine/report/png_image.h"

namespace sr::train {
namespace {

using Colour = std::array<uint8_t, 3>;

constexpr int picture_width = 900, panel_height = 320, left = 90, right = 20, top = 34, bottom = 36, tick = 4;
constexpr size_t many = 200;  // points from which a curve gets its moving mean
constexpr Colour black{30, 30, 30}, grey{225, 225, 225};
constexpr Colour colours[] = {{31, 119, 180}, {255, 127, 14}, {44, 160, 44}, {214, 39, 40}};

Colour pale(const Colour& c) {
  const auto mixed = [](uint8_t x) { return static_cast<uint8_t>((x + 2 * 255) / 3); };
  return {mixed(c[0]), mixed(c[1]), mixed(c[2])};
}

struct Canvas : Image {
  explicit Canvas(int h) : Image(picture_width, h, 3) { std::ranges::fill(bytes, uint8_t{255}); }
  void set(int x, int y, const Colour& c) {
    if (x >= 0 && y >= 0 && x < width && y < height) std::ranges::copy(c, at(x, y));
  }
  void line(int x0, int y0, int x1, int y1, const Colour& c) {
    const int n = std::max({std::abs(x1 - x0), std::abs(y1 - y0), 1});
    for (int i = 0; i <= n; ++i)
      set(x0 + static_cast<int>(std::lround(static_cast<double>(x1 - x0) * i / n)),
          y0 + static_cast<int>(std::lround(static_cast<double>(y1 - y0) * i / n)), c);
  }
  void text(int x, int y, std::string_view words, const Colour& c) {
    draw_text(words, x, y, 1, [&](int px, int py) { set(px, py, c); });
  }
};

int text_width(std::string_view words) {
  return static_cast<int>(words.size()) * (glyph_columns + 1) - 1;
}

// From low to high, in pixels from `from` to `to`.
struct Axis {
  double low, high;
  int from, to;
  int operator()(double value) const {
    return from + static_cast<int>(std::lround((value - low) / (high - low) * (to - from)));
  }
  // 1, 2 or 5 times a power of ten, for n ticks at most.
  double step(int n) const {
    const double raw = (high - low) / n, power = std::pow(10, std::floor(std::log10(raw)));
    for (const double factor : {1.0, 2.0, 5.0})
      if (factor * power >= raw) return factor * power;
    return 10 * power;
  }
};

// A range for what is drawn, never empty.
void widen(double& low, double& high) {
  if (!(low <= high)) low = 0, high = 1;
  const double margin = high > low ? 0.05 * (high - low) : std::max(0.05 * std::abs(low), 1e-6);
  low -= margin;
  high += margin;
}

// Means over an odd window, the shorter towards the ends.
Curve smoothed(const Curve& curve) {
  const auto n = static_cast<ptrdiff_t>(curve.values.size()), reach = std::max<ptrdiff_t>(n / 100, 2);
  std::vector<double> sums{0};
  std::vector<int64_t> counts{0};
  for (const double value : curve.values) {
    sums.push_back(sums.back() + (std::isfinite(value) ? value : 0));
    counts.push_back(counts.back() + std::isfinite(value));
  }
  Curve result{curve.steps, {}};
  for (ptrdiff_t i = 0; i < n; ++i) {
    const auto from = static_cast<size_t>(std::max<ptrdiff_t>(0, i - reach)),
               to = static_cast<size_t>(std::min(n, i + reach + 1));
    result.values.push_back((sums[to] - sums[from]) / static_cast<double>(counts[to] - counts[from]));
  }
  return result;
}

void draw(Canvas& canvas, const Curve& curve, const Axis& x, const Axis& y, const Colour& colour) {
  bool drawn = false;
  int x0 = 0, y0 = 0;
  for (size_t i = 0; i < curve.steps.size(); ++i) {
    if (!std::isfinite(curve.values[i])) {
      drawn = false;
      continue;
    }
    const int x1 = x(curve.steps[i]), y1 = y(curve.values[i]);
    if (drawn)
      canvas.line(x0, y0, x1, y1, colour);
    else
      canvas.line(x1 - 1, y1, x1 + 1, y1, colour);
    x0 = x1, y0 = y1, drawn = true;
  }
}

void draw(Canvas& canvas, const Panel& panel, int offset) {
  double low = std::numeric_limits<double>::infinity(), high = -low, last = 0;
  for (const auto& [name, curve] : panel.curves)
    for (size_t i = 0; i < curve->steps.size(); ++i) {
      if (!std::isfinite(curve->values[i])) continue;
      low = std::min(low, curve->values[i]);
      high = std::max(high, curve->values[i]);
      last = std::max(last, curve->steps[i]);
    }
  widen(low, high);
  const Axis x{0, last > 0 ? last : 1, left, picture_width - right};
  const Axis y{low, high, offset + panel_height - bottom, offset + top};

  for (double value = std::ceil(low / y.step(6)) * y.step(6); value <= high; value += y.step(6)) {
    const std::string label = fmt::format("{:.4g}", std::abs(value) < 1e-9 * (high - low) ? 0 : value);
    canvas.line(x.from, y(value), x.to, y(value), grey);
    canvas.line(x.from - tick, y(value), x.from, y(value), black);
    canvas.text(x.from - tick - 4 - text_width(label), y(value) - glyph_rows / 2, label, black);
  }
  for (double value = 0; value <= x.high; value += x.step(8)) {
    const std::string label = fmt::format("{:.7g}", value);
    canvas.line(x(value), y.from, x(value), y.from + tick, black);
    canvas.text(x(value) - text_width(label) / 2, y.from + tick + 4, label, black);
  }
  canvas.line(x.from, y.from, x.to, y.from, black);
  canvas.line(x.from, y.from, x.from, y.to, black);
  canvas.text((x.from + x.to - text_width("STEPS")) / 2, y.from + tick + 8 + glyph_rows, "STEPS", black);
  canvas.text(x.from, offset + 12, panel.title, black);

  int legend = picture_width - right;
  for (size_t i = panel.curves.size(); i-- > 0;) {
    const auto& [name, curve] = panel.curves[i];
    const Colour& colour = colours[i % std::size(colours)];
    const bool noisy = curve->values.size() >= many;
    draw(canvas, *curve, x, y, noisy ? pale(colour) : colour);
    if (noisy) draw(canvas, smoothed(*curve), x, y, colour);
    legend -= text_width(name);
    canvas.text(legend, offset + 12, name, colour);
    legend -= 3 * (glyph_columns + 1);
  }
}

}  // namespace

std::vector<uint8_t> curves_png(const std::vector<Panel>& panels) {
  Canvas canvas(panel_height * std::max(1, static_cast<int>(panels.size())));
  for (size_t i = 0; i < panels.size(); ++i) draw(canvas, panels[i], panel_height * static_cast<int>(i));
  return encode_png(canvas);
}

}  // namespace sr::train
