// The critic on a GPU. Parameters, moments and maps live there; a step is queued on one stream, and what the host reads
// of it are scores, norms and the gradient's length at the end.
#include "engine/training/device_critic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/backends/device_array.h"
#include "engine/training/device_adam.h"

namespace sr::train {
namespace {

using cuda::AdamNumbers;
using cuda::StepSums;

class DeviceCritic final : public CriticEngine, CriticOps<float> {
 public:
  DeviceCritic(const cuda::Api& api, int device, const CriticState& state, const CriticOptions& options)
      : api_(api), ops_(api.critic), device_(device), options_(options), critic_(state.model) {
    use();
    require(api_, api_.create_stream(&stream_));
    try {
      parameters_ = uploaded(state.parameters);
      m_ = moments(state.optimiser.m);
      v_ = moments(state.optimiser.v);
      step_ = state.optimiser.step;
      gradient_ = DeviceArray<float>(api_, critic_.n_parameters);
      squares_ = DeviceArray<double>(api_, cuda::kSquareParts);
      numbers_ = DeviceArray<AdamNumbers>(api_, 1);
      step_sums_ = DeviceArray<StepSums>(api_, 1);
    } catch (const OutOfDeviceMemory&) {
      api_.destroy_stream(stream_);
      throw Error(Status::resource_error,
                  fmt::format("the critic's {} parameters and their moments do not fit into the memory of GPU {}; make "
                              "--critic-width or --critic-hidden smaller",
                              critic_.n_parameters, device_));
    } catch (...) {
      api_.destroy_stream(stream_);
      throw;
    }
  }
  ~DeviceCritic() override {
    api_.use_device(device_);
    api_.destroy_stream(stream_);
  }

  CriticResult step(const float* fake, const Batch& batch, const std::vector<float>& epsilon,
                    double learning_rate) override {
    use();
    prepare(batch.n);
    copy(fake, image_numbers(), passes_->images());
    const CriticResult result = queue_gradient(batch, epsilon);
    if (!result.finite) return result;
    const AdamNumbers numbers = adam_numbers(options_.adam, learning_rate, ++step_, 0);
    numbers_.upload(&numbers, 1, stream_);
    require(api_, api_.training.adam_step(numbers_.data(), step_sums_.data(), gradient_.data(), gradient_.size(),
                                          parameters_.data(), m_.data(), v_.data(), stream_));
    require(api_, api_.synchronize(stream_));
    return result;
  }

  std::vector<float> gradient(const std::vector<float>& fake, const Batch& batch, const std::vector<float>& epsilon,
                              CriticResult& result) override {
    use();
    prepare(batch.n);
    upload(fake, passes_->images());
    result = queue_gradient(batch, epsilon);
    return downloaded(gradient_);
  }

  void add_gradient(int n, const float* image, float* gradient) override {
    use();
    prepare(n);
    copy(image, image_numbers(), passes_->images());
    passes_->generator_gradient(-options_.adversarial);
    require(api_, ops_.add_scaled(image_numbers(), 1.0f, passes_->image_gradient(), gradient, stream_));
    std::vector<float> scores(static_cast<size_t>(n));
    download(passes_->scores(), scores);
    require(api_, api_.synchronize(stream_));  // the engine goes on with a stream of its own
    score_ = mean_score(scores.data(), n);
  }
  double score() const override { return score_; }

  void save(CriticState& state) override {
    use();
    state = {critic_.model, downloaded(parameters_), {step_, downloaded(m_), downloaded(v_)}};
  }

 private:
  void use() const { require(api_, api_.use_device(device_)); }

  int64_t image_numbers() const { return plan_->n * critic_.model.patch.voxels(); }

  template <class T>
  void upload(const std::vector<T>& host, T* to) {
    require(api_, api_.upload(to, host.data(), static_cast<int64_t>(host.size() * sizeof(T)), stream_));
  }
  template <class T>
  void download(const T* from, std::vector<T>& host) {
    require(api_, api_.download(host.data(), from, static_cast<int64_t>(host.size() * sizeof(T)), stream_));
  }
  DeviceArray<float> uploaded(const std::vector<float>& host) {
    DeviceArray<float> array(api_, static_cast<int64_t>(host.size()));
    upload(host, array.data());
    require(api_, api_.synchronize(stream_));  // the host's row may go
    return array;
  }
  DeviceArray<float> moments(std::vector<float> row) {
    row.resize(static_cast<size_t>(critic_.n_parameters));
    return uploaded(row);
  }
  std::vector<float> downloaded(const DeviceArray<float>& array) {
    std::vector<float> host(static_cast<size_t>(array.size()));
    download(array.data(), host);
    require(api_, api_.synchronize(stream_));
    return host;
  }

  void prepare(int n) {
    if (plan_ && plan_->n == n) return;
    passes_.reset();
    plan_.reset();
    maps_ = {}, partial_ = {}, scores_ = {}, epsilon_ = {};
    sums_ = {}, norms_ = {};
    moments_ = {};
    tangent_moments_ = {};
    CriticPlan plan(critic_, n);
    int64_t parts = 0, sums = 0;
    for (const CriticLayer& layer : critic_.layers) {
      parts =
          std::max({parts, ops_.strided_conv3d_partial(layer.conv, n), ops_.strided_conv3d_partial(layer.conv, 2 * n)});
      sums = std::max(sums, ops_.norm_lrelu_partial(layer.norm, 2 * n));
    }
    try {
      maps_ = DeviceArray<float>(api_, plan.n_numbers);
      partial_ = DeviceArray<float>(api_, parts);
      sums_ = DeviceArray<double>(api_, sums);
      moments_ = DeviceArray<NormMoments>(api_, plan.n_moments);
      tangent_moments_ = DeviceArray<TangentMoments>(api_, plan.n_moments);
      norms_ = DeviceArray<double>(api_, n);
      scores_ = DeviceArray<float>(api_, 2 * n);
      epsilon_ = DeviceArray<float>(api_, n);
    } catch (const OutOfDeviceMemory&) {
      throw critic_too_large(critic_.model, n, fmt::format("the memory of GPU {}", device_));
    }
    plan_.emplace(plan);
    passes_.emplace(critic_, *plan_,
                    CriticBuffers<float>{maps_.data(), moments_.data(), tangent_moments_.data(), norms_.data()},
                    static_cast<CriticOps<float>&>(*this));
  }

  // images() holds the fakes. The gradient, its squares and what the batch says of the critic; waits for the GPU.
  CriticResult queue_gradient(const Batch& batch, const std::vector<float>& epsilon) {
    const int n = batch.n;
    const StepSums zeros{};  // its loss tells adam_step nothing: the host looks at all of it first
    step_sums_.upload(&zeros, 1, stream_);
    upload(batch.target, passes_->images() + image_numbers());
    upload(epsilon, epsilon_.data());
    fill(gradient_.data(), gradient_.size(), 0.0f);
    passes_->loss_gradient(epsilon_.data(), options_.penalty, scores_.data());
    require(api_, api_.training.sum_of_squares(gradient_.data(), gradient_.size(), squares_.data(), step_sums_.data(),
                                               stream_));
    std::vector<float> scores(static_cast<size_t>(2 * n));
    std::vector<double> norms(static_cast<size_t>(n));
    StepSums sums{};
    download(scores_.data(), scores);
    download(norms_.data(), norms);
    step_sums_.download(&sums, 1, stream_);
    require(api_, api_.synchronize(stream_));
    return critic_result(scores, norms, options_.penalty, std::sqrt(sums.gradient_squares));
  }

  // ---- the operations ----

  const float* weight(const CriticLayer& l) const { return parameters_.data() + l.weight; }
  NormParameters<float> parameters(const CriticLayer& l) const {
    return {l.gamma < 0 ? nullptr : parameters_.data() + l.gamma, parameters_.data() + l.beta};
  }
  NormGradients<float> gradients(const CriticLayer& l) const {
    return {l.gamma < 0 ? nullptr : gradient_.data() + l.gamma, gradient_.data() + l.beta};
  }

  void conv(const CriticLayer& l, int n, const float* x, float* y) override {
    require(api_, ops_.strided_conv3d_forward(l.conv, n, weight(l), x, y, stream_));
  }
  void conv_backward_data(const CriticLayer& l, int n, const float* dy, float* dx) override {
    require(api_, ops_.strided_conv3d_backward_data(l.conv, n, weight(l), dy, dx, stream_));
  }
  void conv_backward_weights(const CriticLayer& l, int n, const float* x, const float* dy) override {
    require(api_, ops_.strided_conv3d_backward_weights(l.conv, n, x, dy, partial_.data(), gradient_.data() + l.weight,
                                                       stream_));
  }
  void norm(const CriticLayer& l, int n, const float* x, NormMoments* moments, float* a) override {
    require(api_, ops_.norm_lrelu_forward(l.norm, n, parameters(l), x, moments, sums_.data(), a, stream_));
  }
  void norm_backward(const CriticLayer& l, int n, const float* x, const NormMoments* moments, const float* da,
                     float* dx, bool with_parameters) override {
    require(api_,
            ops_.norm_lrelu_backward(l.norm, n, parameters(l), x, moments, da, sums_.data(), dx,
                                     with_parameters ? gradients(l) : NormGradients<float>{nullptr, nullptr}, stream_));
  }
  void norm_tangent(const CriticLayer& l, int n, const float* x, const NormMoments* moments, const float* xt,
                    TangentMoments* tangent_moments, float* at) override {
    require(api_, ops_.norm_lrelu_tangent(l.norm, n, parameters(l), x, moments, xt, tangent_moments, sums_.data(), at,
                                          stream_));
  }
  void norm_backward_tangent(const CriticLayer& l, int n, const float* x, const float* xt, const NormMoments* moments,
                             const TangentMoments* tangent_moments, const float* da, const float* dat, float* dx,
                             float* dxt) override {
    require(api_, ops_.norm_lrelu_backward_tangent(l.norm, n, parameters(l), x, xt, moments, tangent_moments, da, dat,
                                                   sums_.data(), dx, dxt, gradients(l), stream_));
  }
  void interpolate(int n, int64_t voxels, const float* epsilon, const float* real, const float* fake,
                   float* x) override {
    require(api_, ops_.interpolate(n, voxels, epsilon, real, fake, x, stream_));
  }
  void penalty_direction(int n, int64_t voxels, const float* g, double weight, double* norms, float* v) override {
    require(api_, ops_.penalty_direction(n, voxels, g, weight, norms, v, stream_));
  }
  void fill(float* to, int64_t n, float value) override { require(api_, ops_.fill(n, value, to, stream_)); }
  void copy(const float* from, int64_t n, float* to) override { require(api_, ops_.copy(n, from, to, stream_)); }

  const cuda::Api& api_;
  const cuda::CriticApi& ops_;
  const int device_;
  CriticOptions options_;
  Critic critic_;
  cuda::Stream stream_ = nullptr;

  int64_t step_ = 0;
  DeviceArray<float> parameters_, gradient_, m_, v_;
  DeviceArray<double> squares_;
  DeviceArray<AdamNumbers> numbers_;
  DeviceArray<StepSums> step_sums_;

  std::optional<CriticPlan> plan_;
  DeviceArray<float> maps_, partial_, scores_, epsilon_;
  DeviceArray<double> sums_, norms_;
  DeviceArray<NormMoments> moments_;
  DeviceArray<TangentMoments> tangent_moments_;
  std::optional<CriticPasses<float>> passes_;
  double score_ = 0;
};

}  // namespace

std::unique_ptr<CriticEngine> make_device_critic(const cuda::Api& api, int device, const CriticState& state,
                                                 const CriticOptions& options) {
  return std::make_unique<DeviceCritic>(api, device, state, options);
}

}  // namespace sr::train
