// Wall-clock time of a call.
#pragma once

#include <chrono>

namespace sr {

// Returns what the call returns, and adds the seconds that it took, also where it throws.
template <class F>
auto timed(double& seconds, F call) {
  struct Stop {
    double& seconds;
    std::chrono::steady_clock::time_point start = std::chrono::steady_clock::now();
    ~Stop() { seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }
  } stop{seconds};
  return call();
}

}  // namespace sr
