#include "tools/srtrain/loop_parts.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "engine/base/status.h"
#include "tools/common/progress.h"

namespace sr::train {

using Clock = std::chrono::steady_clock;

double Stopwatch::lap() {
  const Clock::time_point now = Clock::now();
  return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
}

bool StepLine::is_terminal() {
  return ::isatty(STDERR_FILENO) != 0;
}

bool StepLine::due() const {
  return !quiet_ && Clock::now() - drawn_ >= (terminal_ ? std::chrono::milliseconds(200) : std::chrono::seconds(10));
}

void StepLine::draw(const std::string& line) {
  if (quiet_) return;
  drawn_ = Clock::now();
  if (terminal_)
    std::fputs(("\r" + line + "\x1b[K").c_str(), stderr), open_ = true;
  else
    note(line);
}

void StepLine::say(const std::string& line) {
  if (quiet_) return;
  end();
  note(line);
}

void StepLine::warn(const std::string& line) {
  end();
  note(line);
}

void StepLine::end() {
  if (open_) note("");
  open_ = false;
}

void update_average(std::vector<double>& average, const std::vector<float>& row, double decay, int64_t step) {
  const auto t = static_cast<double>(step);
  const double keep = std::min(decay, (1 + t) / (10 + t));
  for (size_t i = 0; i < row.size(); ++i) average[i] = keep * average[i] + (1 - keep) * row[i];
}

std::optional<Validation> validate_unless_stopped(const Job& job, const Checkpoint& checkpoint) {
  try {
    return job.validate(trained_weights(checkpoint), [&](int, int) { return !(job.stop && job.stop()); });
  } catch (const Error& e) {
    if (e.status == Status::interrupted) return std::nullopt;
    throw;
  }
}

void warn_of_skipped(StepLine& line, const std::string& place, const Validation& validation) {
  for (const UnmeasuredScan& scan : validation.skipped)
    line.warn(fmt::format("srtrain: warning: {}: {} is left out of the validation: {}", place, scan.name, scan.reason));
}

std::string summary(const Validation& v) {
  if (v.scans.empty()) return "no scan could be validated";
  return fmt::format("validation PSNR {:.3f} dB (input {:.3f}), SSIM {:.4f} ({:.4f}), MSE {:.4g}", v.result.psnr,
                     v.input.psnr, v.result.ssim, v.input.ssim, v.result.mse);
}

Chart chart_of(const Log& log, const std::string& title, const std::string& unit,
               const std::vector<std::pair<const char*, const char*>>& of) {
  Chart chart;
  chart.title = title;
  chart.x_label = "steps";
  chart.y_label = unit;
  for (const auto& [name, tag] : of) {
    Curve& curve = chart.curves.emplace_back(log.curve(tag));
    curve.name = name;
    curve.noisy = true;
  }
  return chart;
}

Chart psnr_chart(const Log& log) {
  return chart_of(log, "Validation PSNR", "dB", {{"output", "psnr"}, {"input", "input_psnr"}});
}

}  // namespace sr::train
