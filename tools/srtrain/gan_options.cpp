#include <fmt/format.h>

#include "engine/base/status.h"
#include "tools/srtrain/options.h"

namespace sr::train {
namespace {

using ranges::decay, ranges::not_negative, ranges::positive;

// The paper's, where plain training has others.
void set_defaults(Options& o) {
  o.gan.emplace();
  o.loop.steps = 200'000;
  o.loop.schedule.rate = 5e-6;
  o.loop.validate_every = 500;
  o.loop.save_every = 2000;  // of a larger state, and of shorter steps
}

void describe(CLI::App& app, const char* option, const char* description) {
  app.get_option(option)->description(description);
}

}  // namespace

void add_gan_options(CLI::App& app, Options& o) {
  set_defaults(o);
  GanOptions& gan = *o.gan;
  add_data_options(app, o);

  CLI::Option_group* network = app.add_option_group("Network");
  network->add_option("--generator", o.init, "weights file to begin with, trained by plain srtrain")->required();
  add_preparation_options(network, o);

  CLI::Option_group* optimisation = app.add_option_group("Generator");
  add_step_options(optimisation, o);
  optimisation->add_option("--adversarial", gan.critic.adversarial, "weight of the critic's score beside the L1 loss")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  add_update_options(optimisation, o);

  CLI::Option_group* critic = app.add_option_group("Critic");
  critic->add_option("--critic-width", gan.model.width, "channels of its first layer, an eighth of its last")
      ->check(CLI::Range(1, kMaxCriticWidth))
      ->capture_default_str();
  critic->add_option("--critic-hidden", gan.model.hidden, "numbers in its hidden dense layer")
      ->check(CLI::Range(1, kMaxCriticHidden))
      ->capture_default_str();
  critic->add_option("--critic-lr", gan.critic_rate, "its learning rate")
      ->check(ranges::learning_rate)
      ->capture_default_str();
  critic->add_option("--critic-beta1", gan.critic.adam.beta1, "what Adam keeps of its gradient's mean")
      ->check(decay)
      ->capture_default_str();
  critic->add_option("--critic-beta2", gan.critic.adam.beta2, "what Adam keeps of its gradient's square")
      ->check(decay)
      ->capture_default_str();
  critic->add_option("--penalty", gan.critic.penalty, "weight of (||grad D|| - 1)^2")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  critic->add_option("--critic-first", gan.schedule.first, "steps of the critic alone, before all others")
      ->check(not_negative)
      ->capture_default_str();
  critic->add_option("--critic-steps", gan.schedule.per_step, "steps of the critic before each of the generator")
      ->check(positive)
      ->capture_default_str();
  critic->add_option("--extra-every", gan.schedule.extra_every, "generator steps between extra steps, 0: none")
      ->check(not_negative)
      ->capture_default_str();
  critic->add_option("--extra-steps", gan.schedule.extra, "so many extra steps of the critic")
      ->check(not_negative)
      ->capture_default_str();

  CLI::Option_group* guard = app.add_option_group(
      "Guard",
      "Means over the last steps, about 50, at which the run ends before a checkpoint is written over; 0: no limit");
  const auto limit = CLI::Range(0.0, 1e30);
  guard->add_option("--guard-wasserstein", gan.guard.wasserstein, "of |Wasserstein estimate|")
      ->check(limit)
      ->capture_default_str();
  guard->add_option("--guard-gradient", gan.guard.image_gradient, "of ||grad D||, which the penalty drives to 1")
      ->check(limit)
      ->capture_default_str();
  guard->add_option("--guard-l1", gan.guard.l1, "of the generator's L1, divided by that of the interpolated patches")
      ->check(limit)
      ->capture_default_str();

  add_compute_options(app, o);
  add_run_options(app, o);
  describe(app, "--normalization", "none, scale:N, zscore, foreground, percentile:P (default: that of --generator)");
  describe(app, "--steps", "of the generator in all, those before --resume included");
  describe(app, "--batch", "patches a step, of both networks");
  describe(app, "--validate-every", "generator steps, 0: at the end alone");
  describe(app, "--save-every", "steps of both networks, 0: at validations and at the end alone");
  describe(app, "--log-every", "steps of each network");
  describe(app, "--frozen-norm", "batch-norm by the running statistics of --generator");
}

void interpret_gan(Options& o) {
  GanOptions& gan = *o.gan;
  gan.model.patch = {o.data.patch, o.data.patch, o.data.patch};
  gan.seed = o.data.seed;
  try {
    const Critic critic(gan.model);
  } catch (const Error& e) {
    throw Error(Status::bad_usage, fmt::format("--patch {}: {}", o.data.patch, e.what()));
  }
}

nlohmann::json gan_options_that_matter(const GanOptions& gan) {
  return {{"--critic-width", gan.model.width},       {"--critic-hidden", gan.model.hidden},
          {"--critic-lr", gan.critic_rate},          {"--critic-beta1", gan.critic.adam.beta1},
          {"--critic-beta2", gan.critic.adam.beta2}, {"--penalty", gan.critic.penalty},
          {"--adversarial", gan.critic.adversarial}, {"--critic-first", gan.schedule.first},
          {"--critic-steps", gan.schedule.per_step}, {"--extra-every", gan.schedule.extra_every},
          {"--extra-steps", gan.schedule.extra}};
}

}  // namespace sr::train
