// The optimiser, on the host.
#pragma once

#include <vector>

#include "engine/training/training_engine.h"

namespace sr::train {

// One step over a row of parameters; state.step counts it.
void adam_step(const AdamOptions& options, double rate, const std::vector<float>& gradient,
               std::vector<float>& parameters, OptimiserState& state);

double euclidean_norm(const std::vector<float>& v);

}  // namespace sr::train
