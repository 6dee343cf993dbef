#include "engine/training/adam.h"

#include <cmath>

namespace sr::train {

void adam_step(const AdamOptions& options, double rate, const std::vector<float>& gradient,
               std::vector<float>& parameters, OptimiserState& state) {
  state.step++;
  const double t = static_cast<double>(state.step);
  const double unbias_m = 1 / (1 - std::pow(options.beta1, t)), unbias_v = 1 / (1 - std::pow(options.beta2, t));
  for (size_t i = 0; i < gradient.size(); i++) {
    const double g = gradient[i];
    const double m = options.beta1 * state.m[i] + (1 - options.beta1) * g;
    const double v = options.beta2 * state.v[i] + (1 - options.beta2) * g * g;
    state.m[i] = static_cast<float>(m);
    state.v[i] = static_cast<float>(v);
    parameters[i] =
        static_cast<float>(parameters[i] - rate * unbias_m * m / (std::sqrt(unbias_v * v) + options.epsilon));
  }
}

double euclidean_norm(const std::vector<float>& v) {
  double sum = 0;
  for (const float x : v) sum += double{x} * x;
  return std::sqrt(sum);
}

}  // namespace sr::train
