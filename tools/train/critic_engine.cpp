#include "tools/train/critic_engine.h"

namespace sr::train {

CriticState first_critic(const CriticModel& model, uint64_t seed) {
  CriticState state{model, random_critic(Critic(model), seed), {}};
  state.optimiser.m.assign(state.parameters.size(), 0.0f);
  state.optimiser.v.assign(state.parameters.size(), 0.0f);
  return state;
}

}  // namespace sr::train
