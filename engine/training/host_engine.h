// Training on the host: float32 with SIMD and threads, or the plain loops in double.
#pragma once

#include "engine/training/training_engine.h"

namespace sr::train {

std::unique_ptr<TrainingEngine> make_host_engine(const Weights& weights, const TrainingOptions& options,
                                                 Collective& collective);

}  // namespace sr::train
