#include "engine/training/host_critic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <optional>

#include "engine/base/status.h"
#include "engine/training/adam.h"
#include "engine/training/host_critic_ops.h"
#include "kernels/memory.h"

namespace sr::train {
namespace {

template <class T>
class HostCritic final : public CriticEngine {
 public:
  HostCritic(const CriticState& state, const CriticOptions& options, int n_threads)
      : options_(options),
        critic_(state.model),
        parameters_(state.parameters),
        optimiser_(state.optimiser),
        op_(n_threads) {
    optimiser_.m.resize(parameters_.size());
    optimiser_.v.resize(parameters_.size());
  }

  CriticResult step(const float* fake, const Batch& batch, const std::vector<float>& epsilon,
                    double learning_rate) override {
    CriticResult result;
    const std::vector<float> gradient = loss_gradient(fake, batch, epsilon, result);
    if (result.finite) adam_step(options_.adam, learning_rate, gradient, parameters_, optimiser_);
    return result;
  }

  std::vector<float> gradient(const std::vector<float>& fake, const Batch& batch, const std::vector<float>& epsilon,
                              CriticResult& result) override {
    return loss_gradient(fake.data(), batch, epsilon, result);
  }

  void add_gradient(int n, const float* image, float* gradient) override {
    prepare(n);
    const int64_t voxels = n * critic_.model.patch.voxels();
    std::copy_n(image, voxels, passes_->images());
    passes_->generator_gradient(-options_.adversarial);
    for (int64_t i = 0; i < voxels; i++) gradient[i] += static_cast<float>(passes_->image_gradient()[i]);
    score_ = mean_score(passes_->scores(), n);
  }
  double score() const override { return score_; }

  void save(CriticState& state) override { state = {critic_.model, parameters_, optimiser_}; }

 private:
  void prepare(int n) {
    op_.parameters.assign(parameters_.begin(), parameters_.end());
    if (plan_ && plan_->n == n) return;
    plan_.emplace(critic_, n);
    passes_.reset();
    try {
      buffer_ = HugeBuffer(static_cast<size_t>(plan_->n_numbers) * sizeof(T) / sizeof(float));
    } catch (const std::bad_alloc&) {
      plan_.reset();
      throw critic_too_large(critic_.model, n, "the memory");
    }
    moments_.resize(static_cast<size_t>(plan_->n_moments));
    tangent_moments_.resize(moments_.size());
    norms_.resize(static_cast<size_t>(n));
    passes_.emplace(
        critic_, *plan_,
        CriticBuffers<T>{reinterpret_cast<T*>(buffer_.data()), moments_.data(), tangent_moments_.data(), norms_.data()},
        op_);
  }

  std::vector<float> loss_gradient(const float* fake, const Batch& batch, const std::vector<float>& epsilon,
                                   CriticResult& result) {
    const int n = batch.n;
    prepare(n);
    const auto voxels = static_cast<int64_t>(batch.target.size());
    std::copy_n(fake, voxels, passes_->images());
    std::ranges::copy(batch.target, passes_->images() + voxels);
    op_.gradient.assign(parameters_.size(), T{0});
    std::vector<T> scores(static_cast<size_t>(2 * n));
    const std::vector<T> where(epsilon.begin(), epsilon.end());
    passes_->loss_gradient(where.data(), options_.penalty, scores.data());
    std::vector<float> row(op_.gradient.begin(), op_.gradient.end());
    result = critic_result(scores, norms_, options_.penalty, euclidean_norm(row));
    return row;
  }

  CriticOptions options_;
  Critic critic_;
  std::vector<float> parameters_;
  OptimiserState optimiser_;
  HostCriticOps<T> op_;

  std::optional<CriticPlan> plan_;
  HugeBuffer buffer_;
  std::vector<NormMoments> moments_;
  std::vector<TangentMoments> tangent_moments_;
  std::vector<double> norms_;
  std::optional<CriticPasses<T>> passes_;
  double score_ = 0;
};

}  // namespace

std::unique_ptr<CriticEngine> make_host_critic(const CriticState& state, const CriticOptions& options, BackendKind kind,
                                               int n_threads) {
  if (kind == BackendKind::ref) return std::make_unique<HostCritic<double>>(state, options, n_threads);
  return std::make_unique<HostCritic<float>>(state, options, n_threads);
}

}  // namespace sr::train
