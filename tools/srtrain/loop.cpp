#include "tools/srtrain/loop.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/status.h"
#include "tools/common/progress.h"
#include "tools/srtrain/loop_parts.h"

namespace sr::train {
namespace {

// What comes after each step. All ranks ask together and get the same answer, or else one would wait for another that
// has left. here: whether this rank was told to stop; unfinished: its validation of this step was cut short.
enum class Next { step, interrupted, finished };
Next next_of(Collective& collective, bool done, bool here, bool unfinished) {
  double flags[2] = {here ? 1.0 : 0.0, unfinished ? 1.0 : 0.0};
  collective.sum(flags, 2);
  if (done && flags[1] == 0) return Next::finished;
  return flags[0] > 0 ? Next::interrupted : Next::step;
}

class Run {
 public:
  Run(TrainingEngine& engine, Checkpoint checkpoint, const LoopOptions& options, const Job& job, Collective& collective,
      RunFolder& folder, Log& log)
      : engine_(engine),
        c_(std::move(checkpoint)),
        o_(options),
        job_(job),
        collective_(collective),
        folder_(folder),
        log_(log),
        line_(options.quiet) {}

  std::filesystem::path operator()() {
    engine_.load(c_.weights, c_.state);
    folder_.save(c_);
    saved_step_ = c_.state.step;
    try {
      while (go_on()) step();
    } catch (const OtherRankFailed&) {
      save_if_new();
      throw;
    }
    draw();
    return c_.best_mse ? folder_.best() : folder_.last();
  }

 private:
  bool go_on() {
    // Also that of the step a signal came in: a resumed run makes up for it.
    const bool validated = !due(o_.validate_every) || c_.validated_step == c_.state.step || validate();
    if (due(o_.save_every)) save_if_new();
    // A signal that comes with the last step, when all is validated, changes nothing.
    const Next next = next_of(collective_, c_.state.step >= o_.steps, stopped(), !validated);
    if (next == Next::interrupted) interrupt();
    return next == Next::step;
  }

  bool stopped() const { return job_.stop && job_.stop(); }
  bool due(int64_t every) const {
    return c_.state.step > 0 && ((every > 0 && c_.state.step % every == 0) || c_.state.step == o_.steps);
  }

  void step() {
    const int64_t done = c_.state.step;
    const Batch batch = job_.batch(done);
    const double rate = learning_rate(o_.schedule, done, o_.steps);
    const StepResult result = engine_.step(batch, rate);
    if (!result.finite)
      throw Error(
          Status::some_inputs_failed,
          fmt::format("step {}: the loss or its gradient is not finite; {} keeps the checkpoint of step {}, and "
                      "--init {} starts another run with a lower --lr or with --clip",
                      done + 1, folder_.path().string(), saved_step_, folder_.last().string()));
    c_.state.step = done + 1;
    if (!c_.average.empty()) update_average(c_.average, engine_.parameters(), o_.average, c_.state.step);
    pace_.add(watch_.lap());
    const bool last = c_.state.step == o_.steps;
    if (last || c_.state.step % std::max<int64_t>(o_.log_every, 1) == 0)
      log_.step(c_.state.step, result, rate, pace_.per_second());
    if (last || line_.due()) draw_line(result);
  }

  // "step 1200 of 800000  loss 0.0213  gain 12.3 %  1.25 steps/s  177:12:01 left"
  void draw_line(const StepResult& result) {
    const double rate = pace_.per_second();
    line_.draw(fmt::format("step {} of {}  loss {:.5f}  gain {:.1f} %  {:.3g} steps/s  {} left", c_.state.step,
                           o_.steps, result.loss, 100 * gain(result), rate,
                           rate > 0 ? clock_time(static_cast<double>(o_.steps - c_.state.step) / rate) : "?"));
  }

  void fetch() { engine_.save(c_.weights, c_.state); }

  void save() {
    fetch();
    folder_.save(c_);
    saved_step_ = c_.state.step;
  }

  void save_if_new() {
    if (c_.state.step != saved_step_) save();
  }

  // False where a signal cut it short.
  bool validate() {
    if (!job_.validate) return true;
    fetch();
    const std::optional<Validation> done = validate_unless_stopped(job_, c_);
    watch_.lap();  // validation is not what a step takes
    if (!done) return false;
    const Validation& v = *done;
    c_.validated_step = c_.state.step;
    log_.validation(c_.state.step, v);
    warn_of_skipped(line_, fmt::format("step {}", c_.state.step), v);
    const bool best = !v.scans.empty() && (!c_.best_mse || v.result.mse < *c_.best_mse);
    if (best) {
      c_.best_mse = v.result.mse;
      c_.best_step = c_.state.step;
      folder_.save_best(c_);
    }
    save();  // best.bin and the knowledge of what is the best belong together
    draw();
    line_.say(fmt::format("step {}: {}{}", c_.state.step, summary(v), best ? ", the best so far" : ""));
    return true;
  }

  [[noreturn]] void interrupt() {
    save_if_new();
    draw();
    throw Error(Status::interrupted, fmt::format("interrupted after step {}; --resume --out {} goes on from there",
                                                 c_.state.step, folder_.path().string()));
  }

  void draw() {
    folder_.save_picture(chart_document(
        {chart_of(log_, "Loss", "L1", {{"output", "loss"}, {"input", "input_loss"}}), psnr_chart(log_)}));
  }

  TrainingEngine& engine_;
  Checkpoint c_;
  const LoopOptions& o_;
  const Job& job_;
  Collective& collective_;
  RunFolder& folder_;
  Log& log_;
  StepLine line_;
  Stopwatch watch_;
  Pace pace_;
  int64_t saved_step_ = 0;
};

}  // namespace

std::filesystem::path train(TrainingEngine& engine, Checkpoint checkpoint, const LoopOptions& options, const Job& job,
                            Collective& collective, RunFolder& folder, Log& log) {
  return Run(engine, std::move(checkpoint), options, job, collective, folder, log)();
}

void follow(TrainingEngine& engine, const Checkpoint& checkpoint, const LoopOptions& options, const Job& job,
            Collective& collective) {
  engine.load(checkpoint.weights, checkpoint.state);
  for (int64_t done = checkpoint.state.step;; done++) {
    const Next next = next_of(collective, done >= options.steps, job.stop && job.stop(), false);
    if (next == Next::finished) return;
    if (next == Next::interrupted) throw Error(Status::interrupted, fmt::format("interrupted after step {}", done));
    const StepResult result = engine.step(job.batch(done), learning_rate(options.schedule, done, options.steps));
    if (!result.finite)
      throw Error(Status::some_inputs_failed, fmt::format("step {}: the loss or its gradient is not finite", done + 1));
  }
}

}  // namespace sr::train
