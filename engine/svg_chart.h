// Line charts as SVG text, for reports that need no script to be drawn.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sr {

struct Curve {
  std::string name;
  std::vector<double> x, y;  // points that are not finite break the line
};

struct Chart {
  std::string title, x_label, y_label;
  std::vector<Curve> curves;
  bool log_y = false;            // values of 0 and below break the line
  std::optional<double> x_mark;  // a dashed vertical line, where it lies within the axis
  std::string x_mark_label;
};

// Colours of curves, in order; as many as curves are told apart, then they repeat.
const char* curve_colour(size_t which);

// Text becomes element content: & < > are escaped.
std::string escape_markup(const std::string& text);

std::string draw_chart(const Chart& chart);

}  // namespace sr
