// The critic on the host: float32 with SIMD and threads, or the plain loops in double.
#pragma once

#include "engine/training/critic_engine.h"

namespace sr::train {

std::unique_ptr<CriticEngine> make_host_critic(const CriticState& state, const CriticOptions& options, BackendKind kind,
                                               int n_threads);

}  // namespace sr::train
