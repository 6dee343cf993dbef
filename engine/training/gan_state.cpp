#include "engine/training/gan_state.h"

#include <fmt/format.h>

#include "engine/base/status.h"
#include "weights/weights_error.h"

namespace sr::train {

GanState first_gan_state(const CriticModel& model, uint64_t seed) {
  GanState state;
  state.critic = first_critic(model, seed);
  return state;
}

nlohmann::json to_json(const GanState& s) {
  const CriticModel& m = s.critic.model;
  nlohmann::json json = {{"critic_steps", s.critic.optimiser.step},
                         {"width", m.width},
                         {"hidden", m.hidden},
                         {"patch", {m.patch.d, m.patch.h, m.patch.w}},
                         {"guard", {s.guard.wasserstein, s.guard.image_gradient, s.guard.l1}},
                         {"wasserstein_sum", s.wasserstein_sum},
                         {"wasserstein_count", s.wasserstein_count}};
  if (s.best_wasserstein) json["best_wasserstein"] = *s.best_wasserstein;
  return json;
}

GanState gan_state_from_json(const nlohmann::json& json, const std::string& where) {
  GanState s;
  const auto count = [&](const char* name) {
    const auto number = json.at(name).get<int64_t>();
    if (number < 0 || number > kMostSteps)
      throw WeightsError(fmt::format("{}: {} is {}, which no run comes to", where, name, number));
    return number;
  };
  s.critic.optimiser.step = count("critic_steps");
  const auto size = [&](const nlohmann::json& value, int most) {
    const auto number = value.get<int64_t>();
    if (number < 1 || number > most)
      throw WeightsError(fmt::format("{}: a critic has a size of {}; 1 to {} is what it can be", where, number, most));
    return static_cast<int>(number);
  };
  const nlohmann::json& patch = json.at("patch");
  s.critic.model = {size(json.at("width"), kMaxCriticWidth),
                    size(json.at("hidden"), kMaxCriticHidden),
                    {size(patch.at(0), 512), size(patch.at(1), 512), size(patch.at(2), 512)}};
  const nlohmann::json& guard = json.at("guard");
  s.guard = {guard.at(0), guard.at(1), guard.at(2)};
  s.wasserstein_sum = json.at("wasserstein_sum");
  s.wasserstein_count = count("wasserstein_count");
  if (json.contains("best_wasserstein")) s.best_wasserstein = json.at("best_wasserstein").get<double>();
  return s;
}

void check_rows(const CriticState& critic, const std::string& where) {
  size_t n = 0;
  try {
    n = static_cast<size_t>(Critic(critic.model).n_parameters);
  } catch (const Error& e) {
    throw WeightsError(fmt::format("{}: {}", where, e.what()));
  }
  if (critic.parameters.size() != n || critic.optimiser.m.size() != n || critic.optimiser.v.size() != n)
    throw WeightsError(fmt::format("{}: does not hold {} numbers of its critic and as many moments", where, n));
}

}  // namespace sr::train
