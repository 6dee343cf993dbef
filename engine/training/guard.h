// Ends a run against a critic that diverges, before its last good checkpoint is written over.
#pragma once

#include <string>

#include "engine/training/critic_engine.h"
#include "engine/training/training_engine.h"

namespace sr::train {

// 0: no limit.
struct GuardLimits {
  double wasserstein = 1000;    // of |D(HR) - D(SR)|
  double image_gradient = 100;  // of ||grad D||, which is 1 where all is well
  double l1 = 2;                // of the generator's L1 over that of the interpolated patches
};

// Exponential means over the last steps, about 50. They begin at 0, so that no single step of the beginning counts for
// more than one of later.
struct GuardMeans {
  double wasserstein = 0, image_gradient = 0, l1 = 0;
  void add(const CriticResult& result);
  void add(const StepResult& result);
  friend bool operator==(const GuardMeans&, const GuardMeans&) = default;
};

// The first mean that is beyond its limit, as the beginning of a sentence; empty where none is.
std::string beyond(const GuardMeans& means, const GuardLimits& limits);

}  // namespace sr::train
