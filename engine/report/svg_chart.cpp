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
constexpr double width = 620, height = 330, left = 66, right = 604, top = 34, bottom = 268;
constexpr double smallest_dot = 3, largest_dot = 12;  // radius

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
  void settle() {
    if (!(low <= high)) low = logarithmic ? 0.1 : 0, high = 1;
    if (low == high) low -= logarithmic ? low / 2 : 0.5, high += logarithmic ? high : 0.5;
  }
  // Room for dots at either end.
  void widen() {
    const double more = logarithmic ? std::pow(high / low, 0.1) : 0.1 * (high - low);
    if (logarithmic)
      low /= more, high *= more;
    else
      low -= more, high += more;
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

std::string path_of(const Curve& curve, const Axis& x, const Axis& y) {
  std::string d;
  bool down = false;
  for (size_t i = 0; i < curve.x.size(); i++) {
    const bool visible = x.shows(curve.x[i]) && y.shows(curve.y[i]);
    if (visible) d += fmt::format("{}{:.1f} {:.1f}", down ? "L" : "M", x.pixel(curve.x[i]), y.pixel(curve.y[i]));
    down = visible;
  }
  return d;
}

constexpr double line_height = 13, letter = 7.2;  // of the labels, in a wide font

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
  const double length = letter * static_cast<double>(words.size());
  const bool more_before = dot.left + dot.right > left + right;
  const int lines = static_cast<int>((bottom - top) / line_height), columns = static_cast<int>((right - left) / letter);
  const auto place = [&](bool before, int out, int down) -> Label {
    const double at = before ? dot.left - 4 - out * letter : dot.right + 4 + out * letter,
                 middle = (dot.top + dot.bottom) / 2 + down * line_height, half = line_height / 2;
    return {at,
            middle,
            before,
            std::hypot(out * letter, down * line_height),
            {before ? at - length : at, before ? at : at + length, middle - half, middle + half}};
  };
  std::vector<Label> places;
  for (const bool before : {more_before, !more_before})
    for (int out = 0; out <= columns; out += 3)
      for (int down = -lines; down <= lines; down++) places.push_back(place(before, out, down));
  std::stable_sort(places.begin(), places.end(), [](const Label& a, const Label& b) { return a.away < b.away; });
  const auto is_free = [&](const Label& l) {
    return l.box.left >= left && l.box.right <= right && l.box.top >= top && l.box.bottom <= bottom &&
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
    const double radius = std::max(smallest_dot, largest_dot * std::sqrt(dot.share));
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

std::string draw_chart(const Chart& chart) {
  Axis x, y;
  x.logarithmic = chart.log_x, y.logarithmic = chart.log_y;
  x.from = left, x.to = right, y.from = bottom, y.to = top;
  for (const Curve& c : chart.curves)
    for (size_t i = 0; i < c.x.size(); i++) x.include(c.x[i]), y.include(c.y[i]);
  for (const Dot& dot : chart.dots) x.include(dot.x), y.include(dot.y);
  x.settle();
  y.settle();
  if (!chart.dots.empty()) x.widen(), y.widen();

  std::string svg;
  svg += text(left, 18, "start", chart.title, " class=\"title\"");
  for (const double v : x.ticks(8)) {
    svg += line(x.pixel(v), top, x.pixel(v), bottom, "grid");
    svg += text(x.pixel(v), bottom + 16, "middle", fmt::format("{:g}", v));
  }
  for (const double v : y.ticks(6)) {
    svg += line(left, y.pixel(v), right, y.pixel(v), "grid");
    svg += text(left - 6, y.pixel(v) + 4, "end", fmt::format("{:g}", v));
  }
  svg += text((left + right) / 2, bottom + 34, "middle", chart.x_label);
  svg += text(0, 0, "middle", chart.y_label,
              fmt::format(" transform=\"translate(14 {:.0f}) rotate(-90)\"", (top + bottom) / 2).c_str());
  if (chart.x_mark && *chart.x_mark > x.low && *chart.x_mark < x.high) {
    svg += line(x.pixel(*chart.x_mark), top, x.pixel(*chart.x_mark), bottom, "mark");
    svg += text(x.pixel(*chart.x_mark) + 4, top + 12, "start", chart.x_mark_label);
  }
  for (size_t i = 0; i < chart.curves.size(); i++)
    svg += fmt::format("<path fill=\"none\" stroke=\"{}\" stroke-width=\"1.6\" d=\"{}\"/>", curve_colour(i),
                       path_of(chart.curves[i], x, y));
  svg += draw_dots(chart.dots, curve_colour(chart.curves.size()), x, y);
  // The legend: names in turn, in as many rows as they need, then the notes; the picture grows with them.
  std::string legend;
  double at = left, y_text = height - 10;
  for (size_t i = 0; i < chart.curves.size(); i++) {
    const std::string& name = chart.curves[i].name;
    const double entry = 36 + 6.6 * static_cast<double>(name.size());
    if (at > left && at + entry > width) at = left, y_text += 17;
    legend += fmt::format("<rect x=\"{:.1f}\" y=\"{:.0f}\" width=\"14\" height=\"3\" fill=\"{}\"/>", at, y_text - 5,
                          curve_colour(i));
    legend += text(at + 19, y_text, "start", name);
    at += entry;
  }
  for (const std::string& note : chart.notes) legend += text(left, y_text += 17, "start", note);
  return fmt::format(
             "<svg class=\"chart\" width=\"{0:.0f}\" height=\"{1:.0f}\" viewBox=\"0 0 {0:.0f} {1:.0f}\" role=\"img\" "
             "aria-label=\"{2}\">",
             width, y_text + 10, escape_markup(chart.title)) +
         svg + legend + "</svg>";
}

std::string chart_document(const Chart& chart) {
  std::string svg = draw_chart(chart);
  const char* page = "svg { background: #fff; font-family: system-ui, \"Helvetica Neue\", Arial, sans-serif; }";
  svg.insert(svg.find('>') + 1, fmt::format("<style>\n{}{}</style>", page, chart_style));
  svg.insert(std::string_view("<svg").size(), " xmlns=\"http://www.w3.org/2000/svg\"");
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + svg + "\n";
}

}  // namespace sr
