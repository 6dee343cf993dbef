#include "engine/training/guard.h"

#include <fmt/format.h>

#include <cmath>

namespace sr::train {
namespace {

constexpr double kShare = 1.0 / 50;  // of a step in the means

void add_to(double& mean, double value) {
  mean += kShare * (value - mean);
}

}  // namespace

void GuardMeans::add(const CriticResult& result) {
  add_to(wasserstein, std::abs(result.wasserstein()));
  add_to(image_gradient, result.image_gradient);
}

void GuardMeans::add(const StepResult& result) {
  // Patches of air alone: interpolation is without an error there.
  if (const double ratio = result.loss / result.input_loss; std::isfinite(ratio)) add_to(l1, ratio);
}

std::string beyond(const GuardMeans& means, const GuardLimits& limits) {
  const struct {
    const char *what, *option;
    double mean, limit;
  } figures[] = {
      {"|Wasserstein estimate|", "--guard-wasserstein", means.wasserstein, limits.wasserstein},
      {"||grad D||", "--guard-gradient", means.image_gradient, limits.image_gradient},
      {"the generator's L1, divided by that of the interpolated patches,", "--guard-l1", means.l1, limits.l1},
  };
  for (const auto& f : figures)
    if (f.limit > 0 && !(f.mean <= f.limit))
      return fmt::format("the training diverges: the mean of {} over the last steps is {:.4g}, more than {} {}", f.what,
                         f.mean, f.option, f.limit);
  return "";
}

}  // namespace sr::train
