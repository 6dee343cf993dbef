#include "engine/training/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace sr::train {

double learning_rate(const Schedule& s, int64_t step, int64_t n_steps) {
  if (step < s.warm_up) return s.rate * static_cast<double>(step + 1) / static_cast<double>(s.warm_up);
  if (s.kind == Schedule::Kind::constant) return s.rate;
  const double share = s.decay.value_or(s.kind == Schedule::Kind::step ? 0.25 : 1);
  const int64_t falling = std::llround(share * static_cast<double>(n_steps));
  const int64_t from = std::max(s.warm_up, n_steps - falling);
  if (step < from) return s.rate;
  if (s.kind == Schedule::Kind::step) return s.rate / 10;
  const double done = std::min(1.0, static_cast<double>(step - from) / static_cast<double>(n_steps - from));
  return s.rate * (s.kind == Schedule::Kind::linear ? 1 - done : 0.5 * (1 + std::cos(std::numbers::pi * done)));
}

std::string to_string(Schedule::Kind kind) {
  switch (kind) {
    case Schedule::Kind::constant:
      return "constant";
    case Schedule::Kind::cosine:
      return "cosine";
    case Schedule::Kind::linear:
      return "linear";
    case Schedule::Kind::step:
      return "step";
  }
  return "";
}

}  // namespace sr::train
