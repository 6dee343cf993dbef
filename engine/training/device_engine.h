// Training on a GPU, in float32 (kernels/cuda/training_api.h).
#pragma once

#include "engine/training/training_engine.h"
#include "kernels/cuda/api.h"

namespace sr::train {

// On GPU `device` of the plugin's. With several ranks each has a GPU of its own, and they add up by NCCL; `collective`
// brings its id to all of them. Throws Error{resource_error} where a layer has no kernel, the GPU no room, or NCCL is
// missing.
std::unique_ptr<TrainingEngine> make_device_engine(const cuda::Api& api, int device, const Weights& weights,
                                                   const TrainingOptions& options, Collective& collective);

}  // namespace sr::train
