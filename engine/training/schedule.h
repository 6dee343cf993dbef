// How large the steps of Adam are over a run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace sr::train {

struct Schedule {
  enum class Kind { constant, cosine, linear, step } kind = Kind::constant;
  double rate = 1e-4;           // the paper's, constant
  int64_t warm_up = 0;          // the first steps, over which the rate rises linearly to `rate`
  std::optional<double> decay;  // the last share of the run, over which it falls: to 0 with cosine and linear (default:
                                // all after the warm-up), at once to a tenth with step (default: the last quarter)
};

// Of the step-th of n_steps, counted from 0.
double learning_rate(const Schedule& schedule, int64_t step, int64_t n_steps);

std::string to_string(Schedule::Kind kind);

}  // namespace sr::train
