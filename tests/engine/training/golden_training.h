// Steps of training as PyTorch makes them in float64 (tests/golden/training/make_golden.py).
#pragma once

#include <cmath>
#include <fstream>

#include "engine/training/parameters.h"
#include "engine/training/training_engine.h"
#include "tests/engine/networks/golden_networks.h"

namespace sr::train {

inline constexpr const char* kVariants[] = {"b1u1-k4", "b2u2-k4-always", "b2u2-k4-biases", "b2u2-k4-new-features-r",
                                            "b2u4-k4-auto"};
inline constexpr const char* kBaselines[] = {"fsrcnn-d8-s4-m2", "srresnet-b2-f8", "srdensenet-b1u3-k8-residual"};

struct Golden {
  Weights weights;
  Batch batch;
  // Rows in the order of the tensors' names.
  std::vector<float> gradient, frozen_gradient, after_1, after_20, running;

  explicit Golden(const std::string& name) : weights(load_weights(golden_folder / (name + ".bin"))) {
    const std::filesystem::path path = std::filesystem::path(SR_TEST_DATA) / "golden/training" / (name + ".f32");
    std::ifstream file(path, std::ios::binary);
    const auto take = [&](size_t n) {
      std::vector<float> v(n);
      file.read(reinterpret_cast<char*>(v.data()), static_cast<std::streamsize>(n * sizeof(float)));
      REQUIRE(file.good());
      return v;
    };
    batch.n = 2;
    batch.size = kGoldenSize;
    const auto n_voxels = static_cast<size_t>(2 * kGoldenSize.voxels());
    batch.input = take(n_voxels);
    batch.target = take(n_voxels);
    const auto n = static_cast<size_t>(parameter_count(parameter_ranges(weights)));
    gradient = take(n);
    frozen_gradient = take(n);
    after_1 = take(n);
    after_20 = take(n);
    size_t n_running = 0;
    for (const auto& [tensor, t] : weights.tensors)
      if (tensor.find(".running_") != std::string::npos) n_running += t.data.size();
    running = take(n_running);
    REQUIRE(file.peek() == EOF);
  }
};

// A network's numbers in the order of their names; `running`: the running statistics, else all others.
inline std::vector<float> by_name(const Weights& weights, bool running) {
  std::vector<float> row;
  for (const auto& [name, tensor] : weights.tensors)
    if ((name.find(".running_") != std::string::npos) == running)
      row.insert(row.end(), tensor.data.begin(), tensor.data.end());
  return row;
}

inline std::vector<float> by_name(const std::vector<float>& parameters, const Weights& like) {
  Weights weights = like;
  scatter_parameters(parameters, parameter_ranges(weights), weights);
  return by_name(weights, false);
}

// ||a - b|| / ||b - origin||
inline double distance(const std::vector<float>& a, const std::vector<float>& b,
                       const std::vector<float>& origin = {}) {
  REQUIRE(a.size() == b.size());
  double difference = 0, size = 0;
  for (size_t i = 0; i < a.size(); i++) {
    const double from = origin.empty() ? 0 : origin[i];
    difference += std::pow(double{a[i]} - b[i], 2);
    size += std::pow(b[i] - from, 2);
  }
  return std::isfinite(difference) ? std::sqrt(difference / size) : INFINITY;
}

inline Weights saved(TrainingEngine& engine) {
  Weights weights;
  OptimiserState state;
  engine.save(weights, state);
  return weights;
}

}  // namespace sr::train
