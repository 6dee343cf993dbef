// Charts of lines and dots as SVG text, for reports that need no script to be drawn.
#pragma once

#include <optional>
#include <string>
#include <vector>

namespace sr {

struct Curve {
  std::string name;
  std::vector<double> x, y;  // points that are not finite break the line
  bool noisy = false;        // of many points: drawn pale, with its moving mean over it
};

struct Dot {
  std::string label;
  double x, y;       // where either is not finite, or not above 0 on a logarithmic axis, there is no dot
  double share = 0;  // of the largest dot's area, 0 .. 1
};

struct Chart {
  std::string title, x_label, y_label;
  std::vector<Curve> curves;
  std::vector<Dot> dots;
  bool log_x = false, log_y = false;  // values of 0 and below break the line
  std::optional<double> x_mark;       // a dashed vertical line, where it lies within the axis
  std::string x_mark_label;
  std::vector<std::string> notes;  // lines below
};

// Colours of curves, in order; as many as curves are told apart, then they repeat.
const char* curve_colour(size_t which);

// Text becomes element content: & < > are escaped.
std::string escape_markup(const std::string& text);

// What a page that holds charts has among its styles.
extern const char* const chart_style;

// An element of a page.
std::string draw_chart(const Chart& chart);

// A file that needs nothing else; one chart below the other.
std::string chart_document(const std::vector<Chart>& charts);

}  // namespace sr
