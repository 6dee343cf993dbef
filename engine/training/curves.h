// Curves over the steps of a run, as a picture.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sr::train {

struct Curve {
  std::vector<double> steps, values;  // what is not finite is left out of the picture
};

struct NamedCurve {
  std::string name;
  const Curve* curve;
};

// Curves with one pair of axes.
struct Panel {
  std::string title;
  std::vector<NamedCurve> curves;
};

// PNG of the panels, one below the other. A curve of many points is drawn pale, with its moving mean over it.
std::vector<uint8_t> curves_png(const std::vector<Panel>& panels);

}  // namespace sr::train
