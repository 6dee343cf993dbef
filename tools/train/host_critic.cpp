#include "tools/train/host_critic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <optional>
#include <type_traits>

#include "engine/status.h"
#include "kernels/cpu_target.h"
#include "kernels/memory.h"
#include "tools/train/adam.h"

namespace sr::train {
namespace {

// T = float: SIMD; T = double: the plain loops.
template <class T>
class HostCritic final : public CriticEngine, CriticOps<T> {
 public:
  HostCritic(const CriticState& state, const CriticOptions& options, int n_threads)
      : options_(options),
        critic_(state.model),
        parameters_(state.parameters),
        optimiser_(state.optimiser),
        n_threads_(n_threads),
        scratch_(n_threads) {
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
    score_ = mean(passes_->scores(), n);
  }
  double score() const override { return score_; }

  void save(CriticState& state) override { state = {critic_.model, parameters_, optimiser_}; }

  std::string describe() const override {
    return fmt::format("critic of width {}, {} parameters", critic_.model.width, critic_.n_parameters);
  }

 private:
  static double mean(const T* scores, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += double{scores[i]};
    return sum / n;
  }

  void prepare(int n) {
    numbers_.assign(parameters_.begin(), parameters_.end());
    if (plan_ && plan_->n == n) return;
    plan_.emplace(critic_, n);
    passes_.reset();
    try {
      buffer_ = HugeBuffer(static_cast<size_t>(plan_->n_numbers) * sizeof(T) / sizeof(float));
    } catch (const std::bad_alloc&) {
      plan_.reset();
      throw Error(
          Status::device_trouble,
          fmt::format("the critic's {} patches of {}x{}x{} do not fit into the memory; make --batch, --patch or "
                      "--critic-width smaller",
                      2 * n, critic_.model.patch.w, critic_.model.patch.h, critic_.model.patch.d));
    }
    moments_.resize(static_cast<size_t>(plan_->n_moments));
    tangent_moments_.resize(moments_.size());
    norms_.resize(static_cast<size_t>(n));
    passes_.emplace(
        critic_, *plan_,
        CriticBuffers<T>{reinterpret_cast<T*>(buffer_.data()), moments_.data(), tangent_moments_.data(), norms_.data()},
        static_cast<CriticOps<T>&>(*this));
  }

  std::vector<float> loss_gradient(const float* fake, const Batch& batch, const std::vector<float>& epsilon,
                                   CriticResult& result) {
    const int n = batch.n;
    prepare(n);
    const auto voxels = static_cast<int64_t>(batch.target.size());
    std::copy_n(fake, voxels, passes_->images());
    std::ranges::copy(batch.target, passes_->images() + voxels);
    gradient_.assign(parameters_.size(), T{0});
    std::vector<T> scores(static_cast<size_t>(2 * n));
    const std::vector<T> where(epsilon.begin(), epsilon.end());
    passes_->loss_gradient(where.data(), options_.penalty, scores.data());
    result = {};
    result.fake = mean(scores.data(), n);
    result.real = mean(scores.data() + n, n);
    for (const double norm : norms_) {
      result.image_gradient += norm / n;
      result.penalty += options_.penalty * (norm - 1) * (norm - 1) / n;
    }
    std::vector<float> row(gradient_.begin(), gradient_.end());
    result.gradient_norm = euclidean_norm(row);
    result.finite = std::isfinite(result.loss()) && std::isfinite(result.gradient_norm);
    return row;
  }

  // ---- the operations ----

  const T* weight(const CriticLayer& l) const { return numbers_.data() + l.weight; }
  NormParameters<T> parameters(const CriticLayer& l) const {
    return {l.gamma < 0 ? nullptr : numbers_.data() + l.gamma, numbers_.data() + l.beta};
  }
  NormGradients<T> gradients(const CriticLayer& l) {
    return {l.gamma < 0 ? nullptr : gradient_.data() + l.gamma, gradient_.data() + l.beta};
  }

  void conv(const CriticLayer& l, int n, const T* x, T* y) override {
    if constexpr (std::is_same_v<T, float>)
      strided_conv3d_forward_cpu(l.conv, n, weight(l), x, y, scratch_);
    else
      strided_conv3d_forward_ref(l.conv, n, weight(l), x, y);
  }
  void conv_backward_data(const CriticLayer& l, int n, const T* dy, T* dx) override {
    if constexpr (std::is_same_v<T, float>)
      strided_conv3d_backward_data_cpu(l.conv, n, weight(l), dy, dx, scratch_);
    else
      strided_conv3d_backward_data_ref(l.conv, n, weight(l), dy, dx);
  }
  void conv_backward_weights(const CriticLayer& l, int n, const T* x, const T* dy) override {
    T* const dweight = gradient_.data() + l.weight;
    if constexpr (std::is_same_v<T, float>)
      strided_conv3d_backward_weights_cpu(l.conv, n, x, dy, dweight, scratch_);
    else
      strided_conv3d_backward_weights_ref(l.conv, n, x, dy, dweight);
  }
  void norm(const CriticLayer& l, int n, const T* x, NormMoments* moments, T* a) override {
    norm_lrelu_forward(l.norm, n, parameters(l), x, moments, a, n_threads_);
  }
  void norm_backward(const CriticLayer& l, int n, const T* x, const NormMoments* moments, const T* da, T* dx,
                     bool with_parameters) override {
    norm_lrelu_backward(l.norm, n, parameters(l), x, moments, da, dx,
                        with_parameters ? gradients(l) : NormGradients<T>{nullptr, nullptr}, n_threads_);
  }
  void norm_tangent(const CriticLayer& l, int n, const T* x, const NormMoments* moments, const T* xt,
                    TangentMoments* tangent_moments, T* at) override {
    norm_lrelu_tangent(l.norm, n, parameters(l), x, moments, xt, tangent_moments, at, n_threads_);
  }
  void norm_backward_tangent(const CriticLayer& l, int n, const T* x, const T* xt, const NormMoments* moments,
                             const TangentMoments* tangent_moments, const T* da, const T* dat, T* dx, T* dxt) override {
    norm_lrelu_backward_tangent(l.norm, n, parameters(l), x, xt, moments, tangent_moments, da, dat, dx, dxt,
                                gradients(l), n_threads_);
  }
  void interpolate(int n, int64_t voxels, const T* epsilon, const T* real, const T* fake, T* x) override {
    for (int s = 0; s < n; s++)
      for (int64_t i = s * voxels; i < (s + 1) * voxels; i++) x[i] = epsilon[s] * real[i] + (1 - epsilon[s]) * fake[i];
  }
  void penalty_direction(int n, int64_t voxels, const T* g, double weight, double* norms, T* v) override {
    for (int s = 0; s < n; s++) {
      double squares = 0;
      for (int64_t i = s * voxels; i < (s + 1) * voxels; i++) squares += double{g[i]} * double{g[i]};
      norms[s] = std::sqrt(squares);
      const double factor = norms[s] > 0 ? weight * (norms[s] - 1) / norms[s] : 0;
      for (int64_t i = s * voxels; i < (s + 1) * voxels; i++) v[i] = static_cast<T>(factor * double{g[i]});
    }
  }
  void fill(T* to, int64_t n, T value) override { std::fill_n(to, n, value); }
  void copy(const T* from, int64_t n, T* to) override { std::copy_n(from, n, to); }

  CriticOptions options_;
  Critic critic_;
  std::vector<float> parameters_;
  OptimiserState optimiser_;
  int n_threads_;
  GatherScratch scratch_;

  std::vector<T> numbers_, gradient_;  // the parameters of this step, and their gradient
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
