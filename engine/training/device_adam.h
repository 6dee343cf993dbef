// A step of Adam as the GPU is told of it.
#pragma once

#include <cmath>

#include "engine/training/training_engine.h"
#include "kernels/cuda/training_api.h"

namespace sr::train {

// step: counted from 1. clip: the gradient's largest Euclidean norm; 0: any.
inline cuda::AdamNumbers adam_numbers(const AdamOptions& adam, double rate, int64_t step, double clip) {
  const auto unbias = [step](double beta) { return 1 / (1 - std::pow(beta, static_cast<double>(step))); };
  return {.rate = rate,
          .beta1 = adam.beta1,
          .beta2 = adam.beta2,
          .epsilon = adam.epsilon,
          .unbias_m = unbias(adam.beta1),
          .unbias_v = unbias(adam.beta2),
          .clip = clip};
}

}  // namespace sr::train
