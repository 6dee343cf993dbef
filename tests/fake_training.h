// A stand-in for the training of networks: quick, and its numbers depend on all that a checkpoint must keep.
#pragma once

#include <cmath>
#include <limits>
#include <stdexcept>

#include "tools/train/critic_engine.h"
#include "tools/train/parameters.h"
#include "tools/train/training_engine.h"

namespace sr::test {

using namespace sr::train;

// Adam on a gradient that mixes weights, moments, step and batch; running statistics move too.
class FakeEngine : public TrainingEngine {
 public:
  int64_t not_finite_at = -1, die_at = -1;

  StepResult step(const Batch& batch, double rate, OutputLoss*) override {
    if (state_.step == die_at) throw std::runtime_error("killed");
    StepResult result;
    if (state_.step == not_finite_at) {
      result.loss = std::numeric_limits<double>::quiet_NaN();
      result.finite = false;
      return result;
    }
    const auto ranges = parameter_ranges(weights_);
    std::vector<float> w = gather_parameters(weights_, ranges);
    for (size_t i = 0; i < w.size(); ++i) {
      const float g = w[i] - batch.input[0] + 0.1f * std::sin(static_cast<float>(i));
      state_.m[i] = 0.9f * state_.m[i] + 0.1f * g;
      state_.v[i] = 0.999f * state_.v[i] + 0.001f * g * g;
      w[i] -= static_cast<float>(rate) * state_.m[i] / (std::sqrt(state_.v[i]) + 1e-8f);
      result.loss += std::abs(g) / static_cast<float>(w.size());
    }
    scatter_parameters(w, ranges, weights_);
    for (auto& [name, tensor] : weights_.tensors)
      if (name.ends_with("running_mean"))
        for (float& x : tensor.data) x = 0.9f * x + 0.1f * batch.input[0];
    state_.step++;
    result.input_loss = 1;
    result.gradient_norm = 2;
    return result;
  }
  const float* forward(const Batch& batch) override { return batch.input.data(); }
  std::unique_ptr<CriticEngine> make_critic(const CriticState&, const CriticOptions&) override { return nullptr; }
  std::vector<float> gradient(const Batch&, StepResult&, OutputLoss*) override { return {}; }
  void save(Weights& weights, OptimiserState& state) override {
    weights.tensors = weights_.tensors;
    state = state_;
  }
  std::vector<float> parameters() override { return gather_parameters(weights_, parameter_ranges(weights_)); }
  void load(const Weights& weights, const OptimiserState& state) override { weights_ = weights, state_ = state; }
  std::string describe() const override { return "fake"; }

 private:
  Weights weights_;
  OptimiserState state_;
};

inline Batch fake_batch(int64_t step) {
  return {1, {1, 1, 1}, {std::sin(static_cast<float>(step))}, {0.0f}};
}

}  // namespace sr::test
