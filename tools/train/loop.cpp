#include "tools/train/loop.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "engine/status.h"
#include "tools/progress.h"

namespace sr::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// "step 1200 of 800000  loss 0.0213  gain 12.3 %  1.25 steps/s  177:12:01 left", on one line that is redrawn on a
// terminal, on a line of its own every ten seconds in a log.
class StepLine {
 public:
  StepLine(int64_t first, int64_t total, bool quiet) : first_(first), total_(total), quiet_(quiet) {}
  ~StepLine() { end(); }
  void update(int64_t step, const StepResult& result) {
    const auto pause = terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(10);
    if (quiet_ || (step < total_ && Clock::now() - drawn_ < pause)) return;
    drawn_ = Clock::now();
    const std::string line =
        fmt::format("step {} of {}  loss {:.5f}  gain {:.1f} %  {:.3g} steps/s  {} left", step, total_, result.loss,
                    result.input_loss > 0 ? 100 * (1 - result.loss / result.input_loss) : 0, rate(step),
                    rate(step) > 0 ? clock_time(static_cast<double>(total_ - step) / rate(step)) : "?");
    if (terminal_)
      std::fputs(("\r" + line + "\x1b[K").c_str(), stderr), open_ = true;
    else
      note(line);
  }
  // A line that stays, above the one that is redrawn.
  void say(const std::string& line) {
    if (quiet_) return;
    end();
    note(line);
  }
  double rate(int64_t step) const {
    const double seconds = seconds_since(start_) - paused_;
    return seconds > 0 ? static_cast<double>(step - first_) / seconds : 0;
  }
  void pause(double seconds) { paused_ += seconds; }  // validation is not what a step takes

 private:
  void end() {
    if (open_) note("");
    open_ = false;
  }
  int64_t first_, total_;
  bool quiet_, terminal_ = ::isatty(STDERR_FILENO) != 0, open_ = false;
  double paused_ = 0;
  Clock::time_point start_ = Clock::now(), drawn_ = start_;
};

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
        line_(c_.state.step, options.steps, options.quiet) {}

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
    if (!c_.average.empty()) average();
    if (c_.state.step % std::max<int64_t>(o_.log_every, 1) == 0 || c_.state.step == o_.steps)
      log_.step(c_.state.step, result, rate, line_.rate(c_.state.step));
    line_.update(c_.state.step, result);
  }

  // In double, for in float32 a small share of a small difference would be rounded away. The first steps count for
  // more, so that the random numbers of the beginning are soon forgotten.
  void average() {
    const auto t = static_cast<double>(c_.state.step);
    const double keep = std::min(o_.average, (1 + t) / (10 + t));
    const std::vector<float> row = engine_.parameters();
    for (size_t i = 0; i < row.size(); ++i) c_.average[i] = keep * c_.average[i] + (1 - keep) * row[i];
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
    const Clock::time_point start = Clock::now();
    Validation v;
    try {
      v = job_.validate(trained_weights(c_), [this](int, int) { return !stopped(); });
    } catch (const Error& e) {
      if (e.status == Status::interrupted) return false;
      throw;
    }
    line_.pause(seconds_since(start));
    c_.validated_step = c_.state.step;
    log_.validation(c_.state.step, v);
    const bool best = !c_.best_mse || v.result.mse < *c_.best_mse;
    if (best) {
      c_.best_mse = v.result.mse;
      c_.best_step = c_.state.step;
      folder_.save_best(c_);
    }
    save();  // best.bin and the knowledge of what is the best belong together
    draw();
    line_.say(fmt::format("step {}: validation PSNR {:.3f} dB (input {:.3f}), SSIM {:.4f} ({:.4f}), MSE {:.4g}{}",
                          c_.state.step, v.result.psnr, v.input.psnr, v.result.ssim, v.input.ssim, v.result.mse,
                          best ? ", the best so far" : ""));
    return true;
  }

  [[noreturn]] void interrupt() {
    save_if_new();
    draw();
    throw Error(Status::interrupted, fmt::format("interrupted after step {}; --resume --out {} goes on from there",
                                                 c_.state.step, folder_.path().string()));
  }

  void draw() {
    folder_.save_picture(curves_png(
        {{"LOSS", {{"OUTPUT", &log_.curve("loss")}, {"INPUT", &log_.curve("input_loss")}}},
         {"VALIDATION PSNR (DB)", {{"OUTPUT", &log_.curve("psnr")}, {"INPUT", &log_.curve("input_psnr")}}}}));
  }

  TrainingEngine& engine_;
  Checkpoint c_;
  const LoopOptions& o_;
  const Job& job_;
  Collective& collective_;
  RunFolder& folder_;
  Log& log_;
  StepLine line_;
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
