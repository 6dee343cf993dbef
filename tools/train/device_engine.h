// Training on a GPU, in float32 (kernels/cuda_training.h).
#pragma once

#include "kernels/cuda_api.h"
#include "tools/train/training_engine.h"

namespace sr::train {

// On GPU `device` of the plugin's. With several ranks each has a GPU of its own, and they add up by NCCL; `collective`
// brings its id to all of them. Throws Error{device_trouble} where a layer has no kernel, the GPU no room, or NCCL is
// missing.
std::unique_ptr<TrainingEngine> make_device_engine(const cuda::Api& api, int device, const Weights& weights,
                                                   const TrainingOptions& options, Collective& collective);

}  // namespace sr::train
