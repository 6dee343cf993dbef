// What the loops of plain training (loop.h) and of training against a critic (gan_loop.h) share.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/report/svg_chart.h"
#include "tools/srtrain/loop.h"

namespace sr::train {

// Seconds since the last lap.
class Stopwatch {
 public:
  double lap();

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// How long steps of one kind take.
struct Pace {
  int64_t steps = 0;
  double seconds = 0;
  void add(double of_one_step) { steps++, seconds += of_one_step; }
  double per_second() const { return seconds > 0 ? static_cast<double>(steps) / seconds : 0; }
};

// The progress of a run on stderr: one line that is redrawn on a terminal, on a line of its own every ten seconds in a
// log.
class StepLine {
 public:
  explicit StepLine(bool quiet) : quiet_(quiet) {}
  ~StepLine() { end(); }
  bool due() const;  // whether it is time to draw again
  void draw(const std::string& line);
  // A line that stays, above the one that is redrawn.
  void say(const std::string& line);
  // The same, of a quiet run as well.
  void warn(const std::string& line);

 private:
  void end();
  bool quiet_, terminal_ = is_terminal(), open_ = false;
  std::chrono::steady_clock::time_point drawn_ = std::chrono::steady_clock::now();
  static bool is_terminal();
};

// The moving average of the weights after `step` steps; `row` are the weights then. In double, for in float32 a small
// share of a small difference would be rounded away. The first steps count for more, so that the random numbers of the
// beginning are soon forgotten.
void update_average(std::vector<double>& average, const std::vector<float>& row, double decay, int64_t step);

// Empty where `stop` cut it short.
std::optional<Validation> validate_unless_stopped(const Job& job, const Checkpoint& checkpoint);

// Warnings, also of a quiet run: each scan that the validation after `place`, such as "step 100", had to skip.
void warn_of_skipped(StepLine& line, const std::string& place, const Validation& validation);

// "validation PSNR 32.105 dB (input 30.2), SSIM 0.9512 (0.93), MSE 0.0123"
std::string summary(const Validation& validation);

// Figures of the log over the steps. of: a name in the picture, the log's tag.
Chart chart_of(const Log& log, const std::string& title, const std::string& unit,
               const std::vector<std::pair<const char*, const char*>>& of);
Chart psnr_chart(const Log& log);

}  // namespace sr::train
