// One step of the critic's training, and what it tells the generator. It lives where the generator's engine does.
#pragma once

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/training/net_critic.h"
#include "engine/training/training_engine.h"

namespace sr::train {

struct CriticOptions {
  double penalty = 10;       // weight of (||grad D|| - 1)^2
  double adversarial = 0.1;  // the generator minimises L1 - adversarial mean of D(SR)
  AdamOptions adam{0.0, 0.9, 1e-8};
};

// With the model, all that a critic is.
struct CriticState {
  CriticModel model;
  std::vector<float> parameters;  // engine/training/net_critic.h has the order
  OptimiserState optimiser;
};

struct CriticResult {
  double real = 0, fake = 0;  // means of D(HR) and D(SR), before the step
  double penalty = 0;         // its weight included
  double image_gradient = 0;  // mean of ||grad D||, which the penalty drives to 1
  double gradient_norm = 0;   // of the parameters' gradient, Euclidean
  bool finite = true;         // false: something was not, and nothing was changed
  double wasserstein() const { return real - fake; }
  double loss() const { return fake - real + penalty; }
};

template <class T>
double mean_score(const T* scores, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += double{scores[i]};
  return sum / n;
}

// scores: D of n fakes, then of n reals; norms: ||grad D|| between them; penalty: its weight.
template <class T>
CriticResult critic_result(const std::vector<T>& scores, const std::vector<double>& norms, double penalty,
                           double gradient_norm) {
  const int n = static_cast<int>(norms.size());
  CriticResult result;
  result.fake = mean_score(scores.data(), n);
  result.real = mean_score(scores.data() + n, n);
  for (const double norm : norms) {
    result.image_gradient += norm / n;
    result.penalty += penalty * (norm - 1) * (norm - 1) / n;
  }
  result.gradient_norm = gradient_norm;
  result.finite = std::isfinite(result.loss()) && std::isfinite(gradient_norm);
  return result;
}

class CriticEngine : public OutputLoss {
 public:
  // One step of Adam on WGAN-GP's loss. fake: what the generator's engine made of the batch, where it keeps it; real:
  // batch.target; epsilon: one number a patch, where between them the penalty is taken.
  virtual CriticResult step(const float* fake, const Batch& batch, const std::vector<float>& epsilon,
                            double learning_rate) = 0;
  // The gradient alone; for tests. fake is on the host here.
  virtual std::vector<float> gradient(const std::vector<float>& fake, const Batch& batch,
                                      const std::vector<float>& epsilon, CriticResult& result) = 0;
  // As OutputLoss has it: gradient += that of -adversarial mean of D(image). score: the mean of D(image) of the last
  // call.
  virtual double score() const = 0;
  virtual void save(CriticState& state) = 0;
};

CriticState first_critic(const CriticModel& model, uint64_t seed);

// That a batch of n patches of either kind does not fit into `memory`.
Error critic_too_large(const CriticModel& model, int n, const std::string& memory);

}  // namespace sr::train
