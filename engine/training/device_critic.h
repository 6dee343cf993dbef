// The critic on a GPU, in float32 (kernels/cuda/critic_api.h).
#pragma once

#include "engine/training/critic_engine.h"
#include "kernels/cuda/api.h"

namespace sr::train {

// On GPU `device` of the plugin's, beside the generator's engine: images and gradients that it is handed are that GPU's
// memory. Throws Error{resource_error} where the GPU has no room.
std::unique_ptr<CriticEngine> make_device_critic(const cuda::Api& api, int device, const CriticState& state,
                                                 const CriticOptions& options);

}  // namespace sr::train
