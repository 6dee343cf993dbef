// The progress bar on terminals of many widths.
#include "tools/common/progress.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <thread>

#include "tests/support/catch.h"
#include "tests/support/terminal.h"

using namespace sr;

namespace {

// A terminal in the place of stderr until the end of the scope.
class Terminal {
 public:
  explicit Terminal(int columns) : here_(::posix_openpt(O_RDWR | O_NOCTTY)) {
    if (here_ < 0 || ::grantpt(here_) != 0 || ::unlockpt(here_) != 0) throw std::runtime_error("no terminal");
    const int there = ::open(::ptsname(here_), O_RDWR | O_NOCTTY);
    ::fcntl(here_, F_SETFL, O_NONBLOCK);
    stderr_ = ::dup(STDERR_FILENO);
    ::dup2(there, STDERR_FILENO);
    ::close(there);
    resize(columns);
  }
  ~Terminal() {
    ::dup2(stderr_, STDERR_FILENO);
    ::close(stderr_);
    ::close(here_);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void resize(int columns) {
    winsize size = {};
    size.ws_row = 24;
    size.ws_col = static_cast<unsigned short>(columns);
    ::ioctl(here_, TIOCSWINSZ, &size);
  }

  // What was written since the last call, without the sequences that draw nothing.
  std::string shown() {
    std::string text;
    char piece[256];
    for (ssize_t n; (n = ::read(here_, piece, sizeof piece)) > 0;) text.append(piece, static_cast<size_t>(n));
    for (const std::string silent : {"\x1b[K", "\r", "\n"})
      for (size_t at; (at = text.find(silent)) != std::string::npos;) text.erase(at, silent.size());
    return text;
  }

 private:
  int here_, stderr_;
};

bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

int width_of(const std::string& text) {
  return static_cast<int>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

// The last state of a bar.
std::string finished(const std::string& title, int columns) {
  Terminal terminal(columns);
  ProgressBar bar(title, ProgressBar::Style::terminal);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));  // a rate of a few digits
  bar.update(36, 36);
  return terminal.shown();
}

const std::string long_name = "sub-0042_ses-baseline_acq-highres_run-01_desc-preproc_space-MNI152_T1w.nii.gz";

}  // namespace

TEST_CASE("a long name does not make the bar wrap") {
  if (test::without_terminals()) return;
  for (const int columns : {200, 120, 100, 80, 79, 70, 60, 50, 40, 30, 10, 1}) {
    const std::string line = finished(long_name, columns);
    INFO(columns << " columns: " << line);
    CHECK(width_of(line) < columns);  // the last column stays free
    if (columns >= 50) CHECK(holds(line, "0:00 left"));
    if (columns >= 80) CHECK(holds(line, "[========"));
    if (columns >= 80) CHECK(holds(line, "sub-0"));
    if (columns >= 80) CHECK(holds(line, ".gz ["));
  }
  const std::string full = long_name + " [==============================] 100 %";
  CHECK(holds(finished(long_name, 200), full));
}

TEST_CASE("a short name leaves the bar as long as it can be") {
  if (test::without_terminals()) return;
  CHECK(holds(finished("scan.nii", 80), "scan.nii [==============================] 100 %"));
  CHECK(holds(finished("scan.nii", 0), "scan.nii [==============================] 100 %"));  // width unknown: 80
  const std::string line = finished("subject.nii.gz", 72);
  INFO(line);
  CHECK(holds(line, "subject.nii.gz [===="));
  CHECK(width_of(line) == 71);
}

TEST_CASE("a name in UTF-8 is counted in characters and cut between them") {
  if (test::without_terminals()) return;
  std::string name;
  for (int i = 0; i < 60; i++) name += "ä";
  const std::string line = finished(name, 80);
  INFO(line);
  CHECK(width_of(line) == 79);
  const size_t dots = line.find("...");
  REQUIRE(dots != std::string::npos);
  CHECK(dots % 2 == 0);  // whole characters of two bytes before
  CHECK(line.compare(dots + 3, 2, "ä") == 0);
}

TEST_CASE("a window that becomes narrower is noticed at the next draw") {
  if (test::without_terminals()) return;
  Terminal terminal(120);
  ProgressBar bar("some/where/subject-01_T1w.nii.gz", ProgressBar::Style::terminal);
  const auto next = [&](int done) {
    std::this_thread::sleep_for(std::chrono::milliseconds(250));  // drawn five times a second
    bar.update(done, 36);
    return width_of(terminal.shown());
  };
  CHECK(next(12) > 80);
  terminal.resize(80);
  CHECK(next(13) == 79);
  terminal.resize(60);
  CHECK(next(14) < 60);
}
