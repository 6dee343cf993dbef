#include "engine/training/growing.h"

#include <memory>

#include "engine/training/parameters.h"

namespace sr::train {

void measure_statistics(Weights& weights, const std::vector<std::string>& names, TrainingOptions options,
                        const std::function<Batch(int64_t step)>& batch, Collective& collective) {
  options.frozen_norm = false;
  options.norm_momentum = 0.1;
  const std::unique_ptr<TrainingEngine> engine = make_training_engine(weights, options, collective);
  OptimiserState state;
  const auto n = static_cast<size_t>(parameter_count(parameter_ranges(weights)));
  state.m.assign(n, 0.0f);
  state.v.assign(n, 0.0f);
  engine->load(weights, state);
  // At a rate of 0 a step moves the statistics alone.
  for (int step = 0; step < kStatisticsBatches; ++step) engine->step(batch(step), 0.0);
  Weights measured = weights;
  engine->save(measured, state);
  for (const std::string& name : names) weights.tensors[name] = measured.at(name);
}

}  // namespace sr::train
