// The convolutions of a network for programs that time them one by one in another library.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "weights/schema.h"

namespace sr::peers {

struct Layer {
  int64_t co, ci, kernel;  // channels out and in, edge of the kernel; stride 1, zero "same" padding, no bias
  int64_t fan_in() const { return ci * kernel * kernel * kernel; }
};

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

}  // namespace sr::peers
