#include "tools/srtrain/gan_loop.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <utility>

#include "engine/base/status.h"
#include "engine/training/random.h"
#include "tools/common/progress.h"
#include "tools/srtrain/loop_parts.h"

namespace sr::train {
namespace {

constexpr uint64_t kPenaltyStream = uint64_t{1} << 50;  // beyond those of dataset.cpp

class GanRun {
 public:
  GanRun(TrainingEngine& engine, Checkpoint checkpoint, const LoopOptions& options, const GanOptions& gan,
         const Job& job, RunFolder& folder, Log& log)
      : engine_(engine),
        c_(std::move(checkpoint)),
        o_(options),
        gan_(gan),
        job_(job),
        folder_(folder),
        log_(log),
        line_(options.quiet) {}

  std::filesystem::path operator()() {
    engine_.load(c_.weights, c_.state);
    critic_ = engine_.make_critic(c_.gan->critic, gan_.critic);
    folder_.save(c_);
    saved_ = c_.steps();
    saved_place_ = place(c_);
    watch_.lap();
    while (go_on())
      if (next_turn(gan_.schedule, critic_steps(), generator_steps()) == Turn::critic)
        critic_step();
      else
        generator_step();
    draw();
    return c_.gan->best_wasserstein ? folder_.best() : folder_.last();
  }

 private:
  int64_t& critic_steps() { return c_.gan->critic.optimiser.step; }
  int64_t& generator_steps() { return c_.state.step; }
  bool stopped() const { return job_.stop && job_.stop(); }

  bool go_on() {
    const int64_t g = generator_steps();
    const bool due = g > 0 && (g == o_.steps || (o_.validate_every > 0 && g % o_.validate_every == 0));
    // Also that of the step a signal came in: a resumed run makes up for it.
    const bool validated = !due || c_.validated_step == g || validate();
    if (o_.save_every > 0 && c_.steps() % o_.save_every == 0) save_if_new();
    // A signal that comes with the last step, when all is validated, changes nothing.
    if (g >= o_.steps && validated) return false;
    if (stopped() || !validated) interrupt();
    return true;
  }

  void critic_step() {
    const int64_t done = critic_steps();
    const Batch batch = job_.batch(c_.steps());
    const float* fake = engine_.forward(batch);
    const CriticResult r = critic_->step(fake, batch, penalty_places(gan_.seed, done, batch.n), gan_.critic_rate);
    critic_steps() = done + 1;
    if (!r.finite) diverged("the critic's loss or its gradient is not finite");
    c_.gan->guard.add(r);
    guard();
    if (done >= gan_.schedule.first) c_.gan->wasserstein_sum += r.wasserstein(), c_.gan->wasserstein_count++;
    wasserstein_ = r.wasserstein();
    critic_pace_.add(watch_.lap());
    if (critic_steps() % std::max<int64_t>(o_.log_every, 1) == 0)
      record("critic", "critic_",
             {{"real", r.real},
              {"fake", r.fake},
              {"wasserstein", r.wasserstein()},
              {"penalty", r.penalty},
              {"image_gradient", r.image_gradient},
              {"loss", r.loss()},
              {"gradient_norm", r.gradient_norm},
              {"learning_rate", gan_.critic_rate},
              {"steps_per_second", critic_pace_.per_second()}});
    if (line_.due()) draw_line();
  }

  void generator_step() {
    const int64_t done = generator_steps();
    const double rate = learning_rate(o_.schedule, done, o_.steps);
    const StepResult r = engine_.step(job_.batch(c_.steps()), rate, critic_.get());
    generator_steps() = done + 1;
    if (!r.finite) diverged("the generator's loss or its gradient is not finite");
    c_.gan->guard.add(r);
    guard();
    if (!c_.average.empty()) update_average(c_.average, engine_.parameters(), o_.average, done + 1);
    generator_ = r;
    generator_pace_.add(watch_.lap());
    const bool last = done + 1 == o_.steps;
    if (last || (done + 1) % std::max<int64_t>(o_.log_every, 1) == 0)
      record("generator", "generator_",
             {{"loss", r.loss},
              {"input_loss", r.input_loss},
              {"gain", gain(r)},
              {"score", critic_->score()},
              {"gradient_norm", r.gradient_norm},
              {"learning_rate", rate},
              {"steps_per_second", generator_pace_.per_second()}});
    if (last || line_.due()) draw_line();
  }

  void record(const char* kind, const char* prefix, const Log::Figures& figures) {
    log_.figures(kind, c_.steps(), prefix, figures, counts());
  }
  nlohmann::ordered_json counts() { return {{"critic_steps", critic_steps()}, {"generator_steps", generator_steps()}}; }

  void guard() {
    if (const std::string trouble = beyond(c_.gan->guard, gan_.guard); !trouble.empty()) diverged(trouble);
  }

  // Nothing of the step that it is thrown in has been saved.
  [[noreturn]] void diverged(const std::string& trouble) {
    throw Error(Status::some_inputs_failed,
                fmt::format("{}: {}; {} keeps the checkpoint of {}, from which --resume would come to the same: "
                            "start another run with a lower --critic-lr, --lr or --clip (of the generator)",
                            place(c_), trouble, folder_.path().string(), saved_place_));
  }

  void fetch() {
    engine_.save(c_.weights, c_.state);
    critic_->save(c_.gan->critic);
  }

  void save() {
    fetch();
    folder_.save(c_);
    saved_ = c_.steps();
    saved_place_ = place(c_);
    watch_.lap();  // what is done between steps is not what a step takes
  }

  void save_if_new() {
    if (c_.steps() != saved_) save();
  }

  // False where a signal cut it short.
  bool validate() {
    fetch();
    std::optional<Validation> scans;
    if (job_.validate && !(scans = validate_unless_stopped(job_, c_))) return false;
    if (scans) warn_of_skipped(line_, place(c_), *scans);
    GanState& gan = *c_.gan;
    // Since the validation before, or the beginning, there was a step of the generator, and before that of the critic.
    const double wasserstein = gan.wasserstein_sum / static_cast<double>(std::max<int64_t>(gan.wasserstein_count, 1));
    gan.wasserstein_sum = 0;
    gan.wasserstein_count = 0;
    c_.validated_step = generator_steps();
    const bool best = !gan.best_wasserstein || wasserstein < *gan.best_wasserstein;
    log_.validation(c_.steps(), scans.value_or(Validation{}), {{"wasserstein", wasserstein}}, counts());
    if (best) {
      gan.best_wasserstein = wasserstein;
      c_.best_step = generator_steps();
      folder_.save_best(c_);
    }
    save();  // best.bin and the knowledge of what is the best belong together
    draw();
    line_.say(fmt::format("{}: Wasserstein estimate {:.5g}{}{}", place(c_), wasserstein,
                          best ? ", the least so far" : "", scans ? "; " + summary(*scans) : ""));
    return true;
  }

  [[noreturn]] void interrupt() {
    save_if_new();
    draw();
    throw Error(Status::interrupted, fmt::format("interrupted after {}; --resume --out {} goes on from there",
                                                 place(c_), folder_.path().string()));
  }

  // "critic 11000 of 1290000, generator 200 of 200000  Wasserstein 1.73  loss 0.0213  gain 12.3 %  177:12:01 left"
  void draw_line() {
    std::string line = fmt::format("critic {} of {}, generator {} of {}", critic_steps(),
                                   critic_steps_before(gan_.schedule, o_.steps - 1), generator_steps(), o_.steps);
    if (critic_pace_.steps > 0) line += fmt::format("  Wasserstein {:.4g}", wasserstein_);
    if (generator_pace_.steps > 0)
      line += fmt::format("  loss {:.5f}  gain {:.1f} %", generator_.loss, 100 * gain(generator_));
    line_.draw(line + fmt::format("  {} left", time_left()));
  }

  std::string time_left() {
    // Before the first step of one of them, the other's pace stands in: both are a pass or two through the generator
    // and some through the critic.
    const double critic = critic_pace_.per_second(), generator = generator_pace_.per_second();
    const double rates[] = {critic > 0 ? critic : generator, generator > 0 ? generator : critic};
    if (!(rates[0] > 0 && rates[1] > 0)) return "?";
    const int64_t left[] = {critic_steps_before(gan_.schedule, o_.steps - 1) - critic_steps(),
                            o_.steps - generator_steps()};
    return clock_time(static_cast<double>(std::max<int64_t>(left[0], 0)) / rates[0] +
                      static_cast<double>(left[1]) / rates[1]);
  }

  void draw() {
    folder_.save_picture(
        chart_document({chart_of(log_, "Wasserstein estimate", "D(HR) - D(SR)",
                                 {{"steps", "critic_wasserstein"}, {"means", "validation_wasserstein"}}),
                        chart_of(log_, "L1", "L1", {{"output", "generator_loss"}, {"input", "generator_input_loss"}}),
                        psnr_chart(log_)}));
  }

  TrainingEngine& engine_;
  std::unique_ptr<CriticEngine> critic_;
  Checkpoint c_;
  const LoopOptions& o_;
  const GanOptions& gan_;
  const Job& job_;
  RunFolder& folder_;
  Log& log_;
  StepLine line_;
  Stopwatch watch_;
  Pace critic_pace_, generator_pace_;
  double wasserstein_ = 0;  // of the last step
  StepResult generator_;    // of the last step
  int64_t saved_ = 0;       // steps of both in the last checkpoint
  std::string saved_place_;
};

}  // namespace

std::vector<float> penalty_places(uint64_t seed, int64_t critic_step, int n) {
  Random random(seed, kPenaltyStream + static_cast<uint64_t>(critic_step));
  std::vector<float> places(static_cast<size_t>(n));
  for (float& place : places) place = static_cast<float>(random.uniform());
  return places;
}

std::filesystem::path train_gan(TrainingEngine& engine, Checkpoint checkpoint, const LoopOptions& options,
                                const GanOptions& gan, const Job& job, RunFolder& folder, Log& log) {
  return GanRun(engine, std::move(checkpoint), options, gan, job, folder, log)();
}

}  // namespace sr::train
