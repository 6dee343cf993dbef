#include "tools/common/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

namespace sr {
namespace {

// Asked at each draw: a window may be resized at any time. A terminal that does not know its width is taken as 80 wide.
int terminal_columns() {
  winsize size = {};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

bool begins_character(char byte) {
  return (byte & 0xc0) != 0x80;  // all but the later bytes of UTF-8
}

int width_of(const std::string& text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), begins_character));
}

// Where the n-th character begins.
size_t offset_of(const std::string& text, int n) {
  size_t at = 0;
  while (at < text.size() && (n -= begins_character(text[at])) >= 0) at++;
  return at;
}

// No wider than so many columns: beginning and end are kept, for names differ in either.
std::string shortened(const std::string& text, int columns) {
  const int width = width_of(text);
  if (width <= columns) return text;
  if (columns < 5) return text.substr(0, offset_of(text, std::max(0, columns)));
  const int head = (columns - 2) / 2, tail = columns - 3 - head;
  return text.substr(0, offset_of(text, head)) + "..." + text.substr(offset_of(text, width - tail));
}

// "scan.nii.gz [=====     ]  50 %  ...". A line that wraps cannot be redrawn, so what does not fit goes: first the bar
// becomes shorter, then the title, then there is no bar.
std::string bar_line(const std::string& title, double fraction, const std::string& figures) {
  constexpr int longest_bar = 30, shortest_bar = 10, shortest_title = 12, frame = 4;  // frame: " [" and "] "
  const int columns = terminal_columns() - 1;  // in the last column some terminals are on the next line already
  const int room = columns - width_of(figures);
  const int bar = std::clamp(room - frame - width_of(title), shortest_bar, longest_bar);
  if (room - frame - bar < std::min(width_of(title), shortest_title))
    return shortened(shortened(title, room - 1) + " " + figures, columns);
  const int filled = static_cast<int>(fraction * bar);
  return fmt::format("{} [{:=<{}}{:{}}] {}", shortened(title, room - frame - bar), "", filled, "", bar - filled,
                     figures);
}

}  // namespace

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
  const double fraction = static_cast<double>(done) / total;
  const double rate = seconds > 0 ? done / seconds : 0;
  const std::string figures = fmt::format("{:3.0f} %  {:.2f} patches/s  {} left", 100 * fraction, rate,
                                          rate > 0 ? clock_time((total - done) / rate) : "?");
  if (style_ == Style::log) {
    note(title_ + ": " + figures);
    return;
  }
  line_open_ = done < total;
  std::fputs(fmt::format("\r{}\x1b[K{}", bar_line(title_, fraction, figures), line_open_ ? "" : "\n").c_str(), stderr);
}

}  // namespace sr
