// A stand-in for the training of networks: quick, and its numbers depend on all that a checkpoint must keep.
#pragma once

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/training/critic_engine.h"
#include "engine/training/parameters.h"
#include "engine/training/training_engine.h"

namespace sr::test {

using namespace sr::train;

// What a FakeCritic does, by the number of its step, from 0.
struct FakeCriticPlan {
  int64_t not_finite_at = -1;
  std::function<double(int64_t)> wasserstein = [](int64_t step) { return 1 + std::cos(static_cast<double>(step)); };
  std::function<double(int64_t)> image_gradient = [](int64_t) { return 1.5; };
};

// Its numbers depend on what it is given, epsilon included, and on its moments.
class FakeCritic final : public CriticEngine {
 public:
  FakeCritic(const CriticState& state, const CriticOptions& options, const FakeCriticPlan& plan, std::string& turns)
      : state_(state), options_(options), plan_(plan), turns_(turns) {}

  CriticResult step(const float* fake, const Batch& batch, const std::vector<float>& epsilon, double rate) override {
    turns_ += 'c';
    OptimiserState& o = state_.optimiser;
    CriticResult result;
    result.fake = fake[0];
    result.real = result.fake + plan_.wasserstein(o.step);
    result.image_gradient = plan_.image_gradient(o.step);
    result.penalty = 3;
    result.gradient_norm = 4;
    result.finite = o.step != plan_.not_finite_at;
    if (!result.finite) return result;
    for (size_t i = 0; i < state_.parameters.size(); ++i) {
      const float g = state_.parameters[i] - fake[0] * epsilon[0] + batch.target[0] + 0.1f * std::cos(float(i));
      o.m[i] = 0.5f * o.m[i] + 0.5f * g;
      o.v[i] = 0.9f * o.v[i] + 0.1f * g * g;
      state_.parameters[i] -= static_cast<float>(rate) * o.m[i] / (std::sqrt(o.v[i]) + 1e-8f);
    }
    o.step++;
    return result;
  }
  std::vector<float> gradient(const std::vector<float>&, const Batch&, const std::vector<float>&,
                              CriticResult&) override {
    return {};
  }
  void add_gradient(int n, const float* image, float* gradient) override {
    const float sum = std::accumulate(state_.parameters.begin(), state_.parameters.end(), 0.0f);
    for (int i = 0; i < n; ++i) gradient[i] -= static_cast<float>(options_.adversarial) * sum * image[i];
    score_ = double{sum};
  }
  double score() const override { return score_; }
  void save(CriticState& state) override { state = state_; }

 private:
  CriticState state_;
  CriticOptions options_;
  const FakeCriticPlan& plan_;
  std::string& turns_;
  double score_ = 0;
};

// Adam on a gradient that mixes weights, moments, step and batch; running statistics move too.
class FakeEngine : public TrainingEngine {
 public:
  int64_t not_finite_at = -1, die_at = -1;
  FakeCriticPlan critic;
  std::function<double(int64_t)> l1;  // the loss of a step, where it is to be another than the fake network's
  std::string turns;                  // "ccg": the critic, the critic, then this network

  StepResult step(const Batch& batch, double rate, OutputLoss* extra_loss) override {
    if (state_.step == die_at) throw std::runtime_error("killed");
    turns += 'g';
    StepResult result;
    std::vector<float> of_image(batch.input.size());
    if (extra_loss) extra_loss->add_gradient(batch.n, forward(batch), of_image.data());
    if (state_.step == not_finite_at) {
      result.loss = std::numeric_limits<double>::quiet_NaN();
      result.finite = false;
      return result;
    }
    const auto ranges = parameter_ranges(weights_);
    std::vector<float> w = gather_parameters(weights_, ranges);
    for (size_t i = 0; i < w.size(); ++i) {
      const float g = w[i] - batch.input[0] + 0.1f * std::sin(static_cast<float>(i)) + of_image[0];
      state_.m[i] = 0.9f * state_.m[i] + 0.1f * g;
      state_.v[i] = 0.999f * state_.v[i] + 0.001f * g * g;
      w[i] -= static_cast<float>(rate) * state_.m[i] / (std::sqrt(state_.v[i]) + 1e-8f);
      result.loss += std::abs(g) / static_cast<float>(w.size());
    }
    scatter_parameters(w, ranges, weights_);
    for (auto& [name, tensor] : weights_.tensors)
      if (name.ends_with("running_mean"))
        for (float& x : tensor.data) x = 0.9f * x + 0.1f * batch.input[0];
    if (l1) result.loss = l1(state_.step);
    state_.step++;
    result.input_loss = 1;
    result.gradient_norm = 2;
    return result;
  }
  const float* forward(const Batch& batch) override {
    image_ = batch.input;
    for (float& x : image_) x += weights_.tensors.begin()->second.data[0];
    return image_.data();
  }
  std::unique_ptr<CriticEngine> make_critic(const CriticState& state, const CriticOptions& options) override {
    return std::make_unique<FakeCritic>(state, options, critic, turns);
  }
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
  std::vector<float> image_;
};

inline Batch fake_batch(int64_t step) {
  return {1, {1, 1, 1}, {std::sin(static_cast<float>(step))}, {0.0f}};
}

}  // namespace sr::test
