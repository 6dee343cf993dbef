// Whether two weights files hold the same numbers, to a tolerance.
//
//   compare_weights A B TOLERANCE     the largest difference in a tensor is at most TOLERANCE of its largest number
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "weights/weights_file.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const sr::Weights a = sr::load_weights(argv[1]), b = sr::load_weights(argv[2]);
  const double tolerance = std::strtod(argv[3], nullptr);
  double worst = 0;
  std::string where = "no tensor";
  bool good = !a.tensors.empty() && a.tensors.size() == b.tensors.size();
  for (const auto& [name, tensor] : a.tensors) {
    const auto other = b.tensors.find(name);
    if (other == b.tensors.end() || other->second.data.size() != tensor.data.size()) {
      good = false;
      break;
    }
    double difference = 0, largest = 1e-30;
    for (size_t i = 0; i < tensor.data.size(); i++) {
      difference = std::max(difference, std::abs(double{tensor.data[i]} - double{other->second.data[i]}));
      largest = std::max(largest, std::abs(double{tensor.data[i]}));
      good = good && std::isfinite(tensor.data[i]) && std::isfinite(other->second.data[i]);
    }
    if (difference / largest > worst) worst = difference / largest, where = name;
  }
  good = good && worst <= tolerance;
  fmt::print("{}: worst {:.3g} of {:.3g}, in {}\n", good ? "same" : "other", worst, tolerance, where);
  return good ? 0 : 1;
}
