// Steps of training against PyTorch in float64 (tests/golden/training/make_golden.py), and what must not change them.
#include <fmt/core.h>

#include <cmath>

#include "engine/training/growing.h"
#include "engine/training/training_engine.h"
#include "tests/engine/training/golden_training.h"
#include "weights/grow.h"

using namespace sr;
using namespace sr::train;
namespace {

TrainingOptions options_for(BackendKind kind, ConvAlgorithm conv) {
  TrainingOptions options;
  options.kind = kind;
  options.device = DeviceKind::cpu;
  options.conv = conv;
  options.threads = 2;
  return options;
}

}  // namespace

TEST_CASE("gradients and steps equal PyTorch's in float64") {
  SingleProcess alone;
  // ref keeps its parameters in float32, which is what its steps differ by.
  struct {
    BackendKind kind;
    ConvAlgorithm conv;
    double gradient, steps;
  } const engines[] = {{BackendKind::ref, ConvAlgorithm::direct, 1e-7, 2e-5},
                       {BackendKind::cpu, ConvAlgorithm::direct, 2e-6, 2e-5},
                       {BackendKind::cpu, ConvAlgorithm::winograd4, 5e-6, 2e-5}};
  std::vector<std::string> names(std::begin(kVariants), std::end(kVariants));
  names.insert(names.end(), std::begin(kBaselines), std::end(kBaselines));
  for (const auto& e : engines) {
    double most = 0, most_steps = 0;
    for (const std::string& name : names) {
      INFO(name << " " << static_cast<int>(e.kind) << " " << static_cast<int>(e.conv));
      const Golden golden(name);
      const std::vector<float> start = by_name(golden.weights, false);
      TrainingOptions options = options_for(e.kind, e.conv);
      const auto engine = make_training_engine(golden.weights, options, alone);
      StepResult result;
      const double gradient =
          distance(by_name(engine->gradient(golden.batch, result), golden.weights), golden.gradient);
      CHECK(gradient < e.gradient);
      // The plain loops take a second a step for the larger networks: the smallest one stands for them in all steps.
      const bool slow = e.kind == BackendKind::ref && name != kVariants[0];
      for (int step = 0; step < (slow ? 1 : 20); step++) {
        engine->step(golden.batch, 1e-3);
        if (step == 0) CHECK(distance(by_name(saved(*engine), false), golden.after_1, start) < e.steps);
      }
      if (!slow) {
        const double steps = distance(by_name(saved(*engine), false), golden.after_20, start);
        CHECK(steps < e.steps);
        if (!golden.running.empty()) CHECK(distance(by_name(saved(*engine), true), golden.running) < 1e-5);
        most_steps = std::max(most_steps, steps);
      }

      options.frozen_norm = true;
      const auto frozen = make_training_engine(golden.weights, options, alone);
      CHECK(distance(by_name(frozen->gradient(golden.batch, result), golden.weights), golden.frozen_gradient) <
            e.gradient);
      frozen->step(golden.batch, 1e-3);
      CHECK(by_name(saved(*frozen), true) == by_name(golden.weights, true));
      most = std::max(most, gradient);
    }
    fmt::print("{} {}: gradients within {:.1e}, 20 steps within {:.1e} of what they moved\n",
               e.kind == BackendKind::ref ? "ref" : "cpu", static_cast<int>(e.conv), most, most_steps);
  }
}

TEST_CASE("threads do not change a bit of a step, and a saved state goes on to the same bits") {
  SingleProcess alone;
  const Golden golden("b2u4-k4-auto");
  std::vector<float> first;
  for (const int threads : {1, 2, 5}) {
    TrainingOptions options = options_for(BackendKind::cpu, ConvAlgorithm::winograd4);
    options.threads = threads;
    auto engine = make_training_engine(golden.weights, options, alone);
    for (int step = 0; step < 4; step++) {
      if (threads == 2 && step == 2) {  // another process
        Weights weights;
        OptimiserState state;
        engine->save(weights, state);
        engine = make_training_engine(golden.weights, options, alone);
        engine->load(weights, state);
      }
      engine->step(golden.batch, 1e-3);
    }
    std::vector<float> now = by_name(saved(*engine), false);
    const std::vector<float> running = by_name(saved(*engine), true);
    now.insert(now.end(), running.begin(), running.end());
    if (first.empty()) first = now;
    CHECK(now == first);
  }
}

TEST_CASE("a batch that is no number changes nothing; a long gradient is cut") {
  SingleProcess alone;
  Golden golden("b2u2-k4-always");
  TrainingOptions options = options_for(BackendKind::cpu, ConvAlgorithm::winograd4);
  const auto engine = make_training_engine(golden.weights, options, alone);
  const StepResult good = engine->step(golden.batch, 1e-3);
  CHECK(good.finite);
  const std::vector<float> before = by_name(saved(*engine), false);
  Batch bad = golden.batch;
  bad.input[5] = NAN;
  CHECK_FALSE(engine->step(bad, 1e-3).finite);
  CHECK(by_name(saved(*engine), false) == before);
  CHECK(engine->step(golden.batch, 1e-3).finite);  // nothing of it is left in the buffers

  // Adam divides by the gradient's size: cut or not, the first step is the same but for epsilon; the moments are not.
  options.clip = good.gradient_norm / 4;
  const auto clipped = make_training_engine(golden.weights, options, alone);
  CHECK(std::abs(clipped->step(golden.batch, 1e-3).gradient_norm - good.gradient_norm) < 1e-6 * good.gradient_norm);
  Weights weights;
  OptimiserState cut, whole;
  clipped->save(weights, cut);
  const auto uncut =
      make_training_engine(golden.weights, options_for(BackendKind::cpu, ConvAlgorithm::winograd4), alone);
  uncut->step(golden.batch, 1e-3);
  uncut->save(weights, whole);
  for (size_t i = 0; i < cut.m.size(); i++) CHECK(std::abs(4 * cut.m[i] - whole.m[i]) <= 1e-5 * std::abs(whole.m[i]));
}

TEST_CASE("a grown network's new statistics are measured, and nothing else changes") {
  SingleProcess alone;
  const Golden golden(kVariants[0]);
  ModelDescription larger = golden.weights.model;
  larger.blocks++;
  const Weights grown = grow(golden.weights, larger, 1);
  std::vector<std::string> names;
  for (const std::string& name : new_tensors(golden.weights.model, larger))
    if (name.ends_with("running_mean") || name.ends_with("running_var")) names.push_back(name);
  REQUIRE(!names.empty());
  Weights measured = grown;
  TrainingOptions options = options_for(BackendKind::cpu, ConvAlgorithm::direct);
  options.frozen_norm = true;  // of the training to come, not of the measurement
  int batches = 0;
  measure_statistics(
      measured, names, options, [&](int64_t) { return ++batches, golden.batch; }, alone);
  CHECK(batches == kStatisticsBatches);
  for (const auto& [name, tensor] : grown.tensors) {
    INFO(name);
    const bool is_new = std::ranges::find(names, name) != names.end();
    CHECK((measured.at(name).data == tensor.data) == !is_new);
  }
  // Always the same batch: what a step's own statistics would make of it, but for what the start still counts.
  const auto output = [&](const Weights& weights, bool frozen) {
    options.frozen_norm = frozen;
    const auto engine = make_training_engine(weights, options, alone);
    StepResult result;
    engine->gradient(golden.batch, result);
    return result.loss;
  };
  CHECK(std::isfinite(output(measured, true)));
}
