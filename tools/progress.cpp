#include "tools/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <utility>

namespace sr {

void note(const std::string& line) {
  std::fputs((line + "\n").c_str(), stderr);
}

std::string clock_time(double seconds) {
  const long s = seconds > 0 ? static_cast<long>(seconds + 0.5) : 0;
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

ProgressBar::Style ProgressBar::style_for_stderr(bool quiet) {
  if (quiet) return Style::none;
  return isatty(STDERR_FILENO) ? Style::terminal : Style::log;
}

ProgressBar::ProgressBar(std::string title, Style style)
    : title_(std::move(title)), style_(style), start_(std::chrono::steady_clock::now()), drawn_(start_) {}

ProgressBar::~ProgressBar() {
  if (line_open_) note("");
}

void ProgressBar::update(int done, int total) {
  if (style_ == Style::none || total <= 0) return;
  // A terminal is redrawn five times a second at most, a log gets a line every ten seconds; both see the end.
  const auto now = std::chrono::steady_clock::now();
  const auto pause = style_ == Style::terminal ? std::chrono::milliseconds(200) : std::chrono::seconds(10);
  if (done < total && now - drawn_ < pause) return;
  drawn_ = now;
  draw(done, total, std::chrono::duration<double>(now - start_).count());
}

void ProgressBar::draw(int done, int total, double seconds) {
  constexpr int width = 30;
  const double fraction = static_cast<double>(done) / total;
  const double rate = seconds > 0 ? done / seconds : 0;
  const std::string figures = fmt::format("{:3.0f} %  {:.2f} patches/s  {} left", 100 * fraction, rate,
                                          rate > 0 ? clock_time((total - done) / rate) : "?");
  if (style_ == Style::log) {
    note(title_ + ": " + figures);
    return;
  }
  const int filled = static_cast<int>(fraction * width);
  line_open_ = done < total;
  std::fputs(fmt::format("\r{} [{:=<{}}{:{}}] {}\x1b[K{}", title_, "", filled, "", width - filled, figures,
                         line_open_ ? "" : "\n")
                 .c_str(),
             stderr);
}

}  // namespace sr
