// How far a run is, on stderr: one line that redraws itself on a terminal, a plain line now and then in a log.
#pragma once

#include <chrono>
#include <string>

namespace sr {

// A line on stderr. Where stderr is closed or full it is lost, and nothing else is.
void note(const std::string& line);

class ProgressBar {
 public:
  enum class Style { none, terminal, log };

  // log on anything that is not a terminal; none when quiet.
  static Style style_for_stderr(bool quiet);

  // title: what is being worked on, "scan.nii.gz".
  ProgressBar(std::string title, Style style);
  ~ProgressBar();  // ends the line of an unfinished bar
  void update(int done, int total);

 private:
  void draw(int done, int total, double seconds);

  std::string title_;
  Style style_;
  std::chrono::steady_clock::time_point start_, drawn_;
  bool line_open_ = false;
};

// "0:07", "12:30", "1:02:05".
std::string clock_time(double seconds);

}  // namespace sr
