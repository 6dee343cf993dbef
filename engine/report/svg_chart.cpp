#include "engine/report/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string_view>

namespace sr {
namespace {

// Pixels of the drawing and of the plot within it.
constexpr double kWidth = 620, kHeight = 330, kLeft = 66, kRight = 604, kTop = 34, kBottom = 268;
constexpr double kSmallestDot = 3, kLargestDot = 12;  // radius
constexpr size_t kMany = 200;                         // points from which a noisy curve gets its moving mean
constexpr size_t kMost = 500;                         // pieces of a noisy curve: the plot has no more pixels to show

struct Axis {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  bool logarithmic = false;
  double from = 0, to = 1;  // pixels

  bool shows(double v) const { return std::isfinite(v) && (!logarithmic || v > 0); }
  void include(double v) {
    if (!shows(v)) return;
    low = std::min(low, v);
    high = std::max(high, v);
  }
  // A range that can be divided by: something on either side of a single value, 0 .. 1 where there is none.
  void make_divisible() {
    if (!(low <= high)) low = logarithmic ? 0.1 : 0, high = 1;
    if (low == high) {
      const double more = std::max(0.5, 1e-6 * std::abs(low));
      low -= logarithmic ? low / 2 : more, high += logarithmic ? high : more;
    }
  }
  // Room for dots at either end.
  void widen() {
    const double more = logarithmic ? std::pow(high / low, 0.1) : 0.1 * (high - low);
    low = logarithmic ? low / more : low - more;
    high = logarithmic ? high * more : high + more;
  }
  double scaled(double v) const { return logarithmic ? std::log10(v) : v; }
  double pixel(double v) const { return from + (to - from) * (scaled(v) - scaled(low)) / (scaled(high) - scaled(low)); }
  // About n round numbers: 1, 2 or 5 times a power of ten, or every power of ten.
  std::vector<double> ticks(int n) const {
    std::vector<double> at;
    if (logarithmic) {
      const int first = static_cast<int>(std::ceil(std::log10(low) - 1e-9)),
                last = static_cast<int>(std::floor(std::log10(high) + 1e-9)), step = std::max(1, (last - first) / n);
      for (int e = first; e <= last; e += step) at.push_back(std::pow(10.0, e));
      if (high > 100 * low) return at;
      for (int e = first - 1; e <= last; e++)  // a short axis has hardly a power of ten on it
        for (const double v : {2 * std::pow(10.0, e), 5 * std::pow(10.0, e)})
          if (v >= low && v <= high) at.push_back(v);
      return at;
    }
    const double raw = (high - low) / n, unit = std::pow(10, std::floor(std::log10(raw)));
    const double step = unit * (raw / unit > 5 ? 10 : raw / unit > 2 ? 5 : raw / unit > 1 ? 2 : 1);
    for (double v = std::ceil(low / step - 1e-9) * step; v <= high + 1e-9 * step; v += step)
      at.push_back(std::abs(v) < 1e-9 * step ? 0 : v);
    return at;
  }
};

std::string text(double x, double y, const char* anchor, const std::string& words, const char* more = "") {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\"{}>{}</text>", x, y, anchor, more,
                     escape_markup(words));
}

std::string line(double x1, double y1, double x2, double y2, const char* kind) {
  return fmt::format("<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>", kind, x1, y1, x2,
                     y2);
}

// A point without neighbours is a dash.
std::string path_of(const Curve& curve, const Axis& x, const Axis& y) {
  const auto is_shown = [&](size_t i) { return i < curve.x.size() && x.shows(curve.x[i]) && y.shows(curve.y[i]); };
  std::string d;
  bool down = false;
  for (size_t i = 0; i < curve.x.size(); i++) {
    if (is_shown(i)) {
      const double at_x = x.pixel(curve.x[i]), at_y = y.pixel(curve.y[i]);
      d += down || is_shown(i + 1) ? fmt::format("{}{:.1f} {:.1f}", down ? "L" : "M", at_x, at_y)
                                   : fmt::format("M{:.1f} {:.1f}h3", at_x - 1.5, at_y);
    }
    down = is_shown(i);
  }
  return d;
}

// Means over an odd window, the shorter towards the ends.
Curve moving_mean(const Curve& curve) {
  const size_t n = curve.y.size(), reach = n / 100;
  std::vector<double> sums{0}, counts{0};
  for (const double v : curve.y) {
    sums.push_back(sums.back() + (std::isfinite(v) ? v : 0));
    counts.push_back(counts.back() + (std::isfinite(v) ? 1 : 0));
  }
  Curve result{curve.name, curve.x, {}};
  for (size_t i = 0; i < n; i++) {
    const size_t from = i - std::min(i, reach), to = std::min(n, i + reach + 1);
    result.y.push_back((sums[to] - sums[from]) / (counts[to] - counts[from]));
  }
  return result;
}

// Of more points than can be told apart the lowest and the highest of each piece: the same to the eye.
Curve thinned(const Curve& curve) {
  const size_t n = curve.x.size(), length = (n + kMost - 1) / kMost;
  if (length <= 2) return curve;
  Curve result{curve.name, {}, {}};
  for (size_t first = 0; first < n; first += length) {
    const size_t last = std::min(first + length, n) - 1;
    double low = std::numeric_limits<double>::infinity(), high = -low;
    for (size_t i = first; i <= last; i++)
      if (std::isfinite(curve.y[i])) low = std::min(low, curve.y[i]), high = std::max(high, curve.y[i]);
    result.x.insert(result.x.end(), {curve.x[first], curve.x[last]});
    result.y.insert(result.y.end(), {low, high});  // infinite where there is none
  }
  return result;
}

std::string draw_curve(const Curve& curve, const char* colour, const Axis& x, const Axis& y) {
  const auto path = [&](const Curve& c, const char* more) {
    return fmt::format("<path fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\"{} d=\"{}\"/>", colour, more,
                       path_of(c, x, y));
  };
  if (!curve.noisy || curve.x.size() < kMany) return path(curve, "");
  return path(thinned(curve), " stroke-opacity=\"0.35\"") + path(thinned(moving_mean(curve)), "");
}

constexpr double kLineHeight = 13, kLetter = 7.2;  // of the labels, in a wide font

struct Box {
  double left, right, top, bottom;

  bool covers(const Box& other) const {
    return left < other.right && other.left < right && top < other.bottom && other.top < bottom;
  }
};

struct Label {
  double at, middle;  // at: the end that is towards the dot
  bool before;        // the dot
  double away;        // from right beside the dot
  Box box;
};

// The place for a label nearest to its dot that is inside the plot and free: beside the dot, lines above and below
// that, and further out; on the side with more room if there is a choice. Where nothing is free, right beside the dot.
Label place_label(const Box& dot, const std::string& words, const std::vector<Box>& taken) {
  const double length = kLetter * static_cast<double>(words.size());
  const bool more_before = dot.left + dot.right > kLeft + kRight;
  const int lines = static_cast<int>((kBottom - kTop) / kLineHeight),
            columns = static_cast<int>((kRight - kLeft) / kLetter);
  const auto place = [&](bool before, int out, int down) -> Label {
    const double at = before ? dot.left - 4 - out * kLetter : dot.right + 4 + out * kLetter,
                 middle = (dot.top + dot.bottom) / 2 + down * kLineHeight, half = kLineHeight / 2;
    return {at,
            middle,
            before,
            std::hypot(out * kLetter, down * kLineHeight),
            {before ? at - length : at, before ? at : at + length, middle - half, middle + half}};
  };
  std::vector<Label> places;
  for (const bool before : {more_before, !more_before})
    for (int out = 0; out <= columns; out += 3)
      for (int down = -lines; down <= lines; down++) places.push_back(place(before, out, down));
  std::stable_sort(places.begin(), places.end(), [](const Label& a, const Label& b) { return a.away < b.away; });
  const auto is_free = [&](const Label& l) {
    return l.box.left >= kLeft && l.box.right <= kRight && l.box.top >= kTop && l.box.bottom <= kBottom &&
           std::none_of(taken.begin(), taken.end(), [&](const Box& other) { return l.box.covers(other); });
  };
  const auto nearest = std::find_if(places.begin(), places.end(), is_free);
  return nearest == places.end() ? place(more_before, 0, 0) : *nearest;
}

// Labels cover neither dots nor each other; one that is not right beside its dot has a line to it.
std::string draw_dots(const std::vector<Dot>& dots, const char* colour, const Axis& x, const Axis& y) {
  std::vector<const Dot*> shown;
  std::vector<Box> taken;  // first by the dots
  for (const Dot& dot : dots) {
    if (!x.shows(dot.x) || !y.shows(dot.y)) continue;
    const double cx = x.pixel(dot.x), cy = y.pixel(dot.y);
    const double radius = std::max(kSmallestDot, kLargestDot * std::sqrt(dot.share));
    shown.push_back(&dot);
    taken.push_back({cx - radius, cx + radius, cy - radius, cy + radius});
  }
  std::string svg;
  for (size_t i = 0; i < shown.size(); i++) {
    const Box dot = taken[i];
    const double cx = (dot.left + dot.right) / 2, cy = (dot.top + dot.bottom) / 2;
    svg += fmt::format("<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"{:.1f}\" fill=\"{}\" fill-opacity=\"0.6\"/>", cx, cy,
                       dot.right - cx, colour);
    const Label label = place_label(dot, shown[i]->label, taken);
    taken.push_back(label.box);
    if (label.away > 0) svg += line(cx, cy, label.at, label.middle, "lead");
    svg += text(label.at, label.middle + 4, label.before ? "end" : "start", shown[i]->label);
  }
  return svg;
}

}  // namespace

const char* curve_colour(size_t which) {
  static constexpr std::array colours{"#1f6fb4", "#d1562b", "#2c8a4b", "#8454a8", "#a5770b", "#3a3a3a"};
  return colours[which % colours.size()];
}

std::string escape_markup(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (c == '"')
      out += "&quot;";
    else if (static_cast<unsigned char>(c) >= ' ')
      out += c;
  }
  return out;
}

const char* const chart_style = R"(
.chart { font-size: 12px; fill: #333c45; }
.chart .title { font-weight: 600; font-size: 13px; } .chart .grid { stroke: #e3e7eb; }
.chart .lead { stroke: #9aa4ae; stroke-width: 0.7; }
.chart .mark { stroke: #6c7680; stroke-dasharray: 4 3; }
)";

namespace {

// What is in an element, and how high that has to be.
struct Drawing {
  std::string svg;
  double height;
};

Drawing draw(const Chart& chart) {
  Axis x, y;
  x.logarithmic = chart.log_x, y.logarithmic = chart.log_y;
  x.from = kLeft, x.to = kRight, y.from = kBottom, y.to = kTop;
  for (const Curve& c : chart.curves)
    for (size_t i = 0; i < c.x.size(); i++) x.include(c.x[i]), y.include(c.y[i]);
  for (const Dot& dot : chart.dots) x.include(dot.x), y.include(dot.y);
  x.make_divisible();
  y.make_divisible();
  if (!chart.dots.empty()) x.widen(), y.widen();

  std::string svg;
  svg += text(kLeft, 18, "start", chart.title, " class=\"title\"");
  for (const double v : x.ticks(8)) {
    svg += line(x.pixel(v), kTop, x.pixel(v), kBottom, "grid");
    svg += text(x.pixel(v), kBottom + 16, "middle", fmt::format("{:g}", v));
  }
  for (const double v : y.ticks(6)) {
    svg += line(kLeft, y.pixel(v), kRight, y.pixel(v), "grid");
    svg += text(kLeft - 6, y.pixel(v) + 4, "end", fmt::format("{:g}", v));
  }
  svg += text((kLeft + kRight) / 2, kBottom + 34, "middle", chart.x_label);
  svg += text(0, 0, "middle", chart.y_label,
              fmt::format(" transform=\"translate(14 {:.0f}) rotate(-90)\"", (kTop + kBottom) / 2).c_str());
  if (chart.x_mark && *chart.x_mark > x.low && *chart.x_mark < x.high) {
    svg += line(x.pixel(*chart.x_mark), kTop, x.pixel(*chart.x_mark), kBottom, "mark");
    svg += text(x.pixel(*chart.x_mark) + 4, kTop + 12, "start", chart.x_mark_label);
  }
  for (size_t i = 0; i < chart.curves.size(); i++) svg += draw_curve(chart.curves[i], curve_colour(i), x, y);
  svg += draw_dots(chart.dots, curve_colour(chart.curves.size()), x, y);
  // The legend: names in turn, in as many rows as they need, then the notes; the picture grows with them.
  std::string legend;
  double at = kLeft, y_text = kHeight - 10;
  for (size_t i = 0; i < chart.curves.size(); i++) {
    const std::string& name = chart.curves[i].name;
    const double entry = 36 + 6.6 * static_cast<double>(name.size());
    if (at > kLeft && at + entry > kWidth) at = kLeft, y_text += 17;
    legend += fmt::format("<rect x=\"{:.1f}\" y=\"{:.0f}\" width=\"14\" height=\"3\" fill=\"{}\"/>", at, y_text - 5,
                          curve_colour(i));
    legend += text(at + 19, y_text, "start", name);
    at += entry;
  }
  for (const std::string& note : chart.notes) legend += text(kLeft, y_text += 17, "start", note);
  return {svg + legend, y_text + 10};
}

std::string element(const std::string& label, const Drawing& drawing) {
  return fmt::format(
      "<svg class=\"chart\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" "
      "aria-label=\"{2}\">{3}</svg>",
      kWidth, drawing.height, escape_markup(label), drawing.svg);
}

}  // namespace

std::string draw_chart(const Chart& chart) {
  return element(chart.title, draw(chart));
}

std::string chart_document(const std::vector<Chart>& charts) {
  std::string titles;
  Drawing all{"", 0};
  for (const Chart& chart : charts) {
    const Drawing one = draw(chart);
    titles += (titles.empty() ? "" : ", ") + chart.title;
    all.svg +=
        all.height > 0 ? fmt::format("<g transform=\"translate(0 {:.0f})\">{}</g>", all.height, one.svg) : one.svg;
    all.height += one.height;
  }
  std::string svg = element(titles, all);
  const char* page = "svg { background: #fff; font-family: system-ui, \"Helvetica Neue\", Arial, sans-serif; }";
  svg.insert(svg.find('>') + 1, fmt::format("<style>\n{}{}</style>", page, chart_style));
  svg.insert(std::string_view("<svg").size(), " xmlns=\"http://www.w3.org/2000/svg\"");
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + svg + "\n";
}

}  // namespace sr
