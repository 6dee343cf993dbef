#include "engine/training/critic_engine.h"

#include <fmt/format.h>

namespace sr::train {

CriticState first_critic(const CriticModel& model, uint64_t seed) {
  CriticState state{model, random_critic(Critic(model), seed), {}};
  state.optimiser.m.assign(state.parameters.size(), 0.0f);
  state.optimiser.v.assign(state.parameters.size(), 0.0f);
  return state;
}

Error critic_too_large(const CriticModel& model, int n, const std::string& memory) {
  return Error(Status::resource_error,
               fmt::format("the critic's {} patches of {}x{}x{} do not fit into {}; make --batch, --patch or "
                           "--critic-width smaller",
                           2 * n, model.patch.w, model.patch.h, model.patch.d, memory));
}

}  // namespace sr::train
