// The convolutions of a network for programs that time them one by one in another library.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "kernels/conv3d.h"
#include "weights/schema.h"

namespace sr::peers {

struct Layer {
  int64_t co, ci, kernel;  // channels out and in, edge of the kernel; stride 1, zero "same" padding, no bias
  int64_t fan_in() const { return ci * kernel * kernel * kernel; }
};

// Small and odd, for a comparison with the plain loops.
constexpr Size3 size_of_check{5, 6, 9};

inline std::vector<Layer> convolutions(const ModelDescription& model) {
  std::vector<Layer> layers;
  for (const TensorSpec& spec : tensor_table(model))
    if (spec.role == TensorRole::conv_weight) layers.push_back({spec.shape[0], spec.shape[1], spec.shape[2]});
  return layers;
}

// Uniform between -scale and scale; others at each call.
inline std::vector<float> random_numbers(int64_t n, float scale) {
  static std::mt19937 random(1);
  std::uniform_real_distribution<float> uniform(-scale, scale);
  std::vector<float> numbers(static_cast<size_t>(n));
  for (float& number : numbers) number = uniform(random);
  return numbers;
}

// [co][ci][z][y][x]; outputs are about as large as inputs.
inline std::vector<float> random_weights(const Layer& l) {
  return random_numbers(l.co * l.fan_in(), 1 / std::sqrt(static_cast<float>(l.fan_in())));
}

// Largest difference of y [co][z][y][x] from what the plain loops make of x [ci][z][y][x], both of size_of_check, as a
// share of the output's rms.
inline double difference_from_ref(const Layer& l, const std::vector<float>& weight, const std::vector<float>& x,
                                  const std::vector<float>& y) {
  const int ci = static_cast<int>(l.ci), co = static_cast<int>(l.co);
  std::vector<double> features(x.begin(), x.end());
  features.resize(x.size() + y.size());
  conv3d_forward_ref({features.data(), dense_layout(size_of_check)}, {0, ci}, Prologue<double>{},
                     {ci, co, static_cast<int>(l.kernel), weight.data(), nullptr}, {ci, co}, nullptr);
  double worst = 0, squares = 0;
  for (size_t i = 0; i < y.size(); i++) {
    const double expected = features[x.size() + i];
    worst = std::max(worst, std::abs(y[i] - expected));
    squares += expected * expected;
  }
  return worst / std::sqrt(squares / static_cast<double>(y.size()));
}

}  // namespace sr::peers
