// What a run against a critic keeps beside the generator, in state.bin.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/training/critic_engine.h"
#include "engine/training/guard.h"

namespace sr::train {

constexpr int64_t kMostSteps = int64_t{1} << 41;  // of the critic; more than options allow for a run
constexpr int kMaxCriticWidth = 1024, kMaxCriticHidden = 65536;

struct GanState {
  CriticState critic;  // critic.optimiser.step steps of it are done
  GuardMeans guard;
  double wasserstein_sum = 0;  // of the critic's steps since the last validation, without those before the generator's
  int64_t wasserstein_count = 0;
  std::optional<double> best_wasserstein;
};

// Before the first step.
GanState first_gan_state(const CriticModel& model, uint64_t seed);

// All but the critic's rows of numbers.
nlohmann::json to_json(const GanState& state);
// Throws nlohmann::json::exception, WeightsError.
GanState gan_state_from_json(const nlohmann::json& json, const std::string& where);

// Throws WeightsError where the rows are not as long as the critic's parameters are many.
void check_rows(const CriticState& critic, const std::string& where);

}  // namespace sr::train
