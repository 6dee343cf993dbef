// Training on the host: `cpu` in float32 and `ref` in double share everything but the convolutions. A step walks the
// network layer by layer with all patches of the batch, because batch-norm in train mode needs their statistics.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <new>

#include "engine/backends/host_convs.h"
#include "engine/base/machine.h"
#include "engine/base/status.h"
#include "engine/networks/net_mdcsrn.h"
#include "engine/networks/norm_mode.h"
#include "engine/networks/plan.h"
#include "engine/training/adam.h"
#include "engine/training/host_critic.h"
#include "engine/training/host_engine.h"
#include "engine/training/parameters.h"
#include "kernels/memory.h"
#include "kernels/pointwise.h"

namespace sr::train {
namespace {

// Features and gradients of a batch in two allocations of one layout; zero at the start, so that padding lanes are.
template <class T>
class Buffers {
 public:
  Buffers(const Plan& plan, int n)
      : features_(bytes(plan, n)), gradients_(bytes(plan, n)), elements_(plan.elements()), layout_(plan.layout) {}
  std::vector<PatchGradients<T>> patches(int n) {
    std::vector<PatchGradients<T>> list;
    for (int i = 0; i < n; i++)
      list.push_back({{reinterpret_cast<T*>(features_.data()) + i * elements_, layout_},
                      {reinterpret_cast<T*>(gradients_.data()) + i * elements_, layout_}});
    return list;
  }

 private:
  static size_t bytes(const Plan& plan, int n) {
    return static_cast<size_t>(plan.elements()) * static_cast<size_t>(n) * sizeof(T) / sizeof(float);
  }
  HugeBuffer features_, gradients_;
  int64_t elements_;
  Layout layout_;
};

// What batch-norm is in this step: an affine, and where it came from.
struct NormState {
  NormAffine affine;
  std::vector<double> mean, variance;  // of the batch, biased; or the running ones
};

template <class Convs>
class HostEngine final : public TrainingEngine, PatchOps, GradientOps {
 public:
  using T = typename Convs::Value;

  HostEngine(const Weights& weights, const TrainingOptions& options, Collective& collective)
      : options_(options),
        collective_(collective),
        threads_(options.threads > 0 ? options.threads : usable_processors()),
        scratch_(threads_) {
    load(weights, {});
  }

  StepResult step(const Batch& batch, double learning_rate, OutputLoss* extra_loss) override {
    StepResult result;
    std::vector<float> gradient = this->gradient(batch, result, extra_loss);
    if (!result.finite) return result;
    if (options_.clip > 0 && result.gradient_norm > options_.clip) {
      const float factor = static_cast<float>(options_.clip / result.gradient_norm);
      for (float& g : gradient) g *= factor;
    }
    adam_step(options_.adam, learning_rate, gradient, parameters_, state_);
    if (!options_.frozen_norm) move_running_statistics();
    return result;
  }

  const float* forward(const Batch& batch) override {
    run_forward(batch);
    return copied_output();
  }

  std::vector<float> gradient(const Batch& batch, StepResult& result, OutputLoss* extra_loss) override {
    run_forward(batch);
    result = loss(batch);
    if (!std::isfinite(result.loss)) {
      result.finite = false;
      return {};
    }
    if (extra_loss) add_gradient(*extra_loss);
    begin_backward();
    network_->backward(*plan_, *this);
    std::vector<float> row = gradient_row();
    collective_.sum(row.data(), static_cast<int64_t>(row.size()));
    result.gradient_norm = euclidean_norm(row);
    result.finite = std::isfinite(result.gradient_norm);
    return row;
  }

  void save(Weights& weights, OptimiserState& state) override {
    weights = current_weights();
    state = state_;
  }

  std::vector<float> parameters() override { return parameters_; }

  void load(const Weights& weights, const OptimiserState& state) override {
    weights_ = weights;
    add_running_statistics(weights_);
    ranges_ = parameter_ranges(weights_);
    layers_ = layer_parameters(ranges_);
    parameters_ = gather_parameters(weights_, ranges_);
    state_ = state;
    state_.m.resize(parameters_.size());
    state_.v.resize(parameters_.size());
  }

  std::unique_ptr<CriticEngine> make_critic(const CriticState& state, const CriticOptions& options) override {
    return make_host_critic(state, options, options_.kind, threads_);
  }

  std::string describe() const override {
    return fmt::format("{}, {} thread{}", Convs::name(), threads_, threads_ == 1 ? "" : "s");
  }

 private:
  Weights& current_weights() {
    scatter_parameters(parameters_, ranges_, weights_);
    return weights_;
  }

  void prepare(const Batch& batch) {
    if (plan_ && plan_->layout.size == batch.size && n_patches_ == batch.n) return;
    plan_.emplace(*network_, Convs::layout(batch.size), Keep::all);
    n_patches_ = batch.n;
    buffers_.reset();
    try {
      // Memory is promised before it is there: what the machine does not have must not be asked for.
      const int64_t machine = physical_memory();
      if (2 * plan_->elements() * batch.n > machine / int64_t{sizeof(T)}) throw std::bad_alloc();
      buffers_.emplace(*plan_, batch.n);
    } catch (const std::bad_alloc&) {
      plan_.reset();
      throw Error(Status::resource_error,
                  fmt::format("a batch of {} patches of {}x{}x{} does not fit into the memory; make --batch or --patch "
                              "smaller",
                              batch.n, batch.size.w, batch.size.h, batch.size.d));
    }
    patches_ = buffers_->patches(batch.n);
    n_voxels_ = static_cast<double>(batch.size.voxels()) * batch.n * collective_.size();
  }

  // f(voxel of the batch, value, gradient) for the voxels of one channel.
  template <class F>
  void for_voxels(int channel, F f) {
    const Size3 size = plan_->layout.size;
    size_t voxel = 0;
    for (const PatchGradients<T>& patch : patches_)
      for (int z = 0; z < size.d; z++)
        for (int y = 0; y < size.h; y++) {
          T* value = patch.f.at(channel, z, y);
          T* gradient = patch.g.at(channel, z, y);
          for (int x = 0; x < size.w; x++) f(voxel++, value[x], gradient[x]);
        }
  }

  void gather(const Batch& batch) {
    for_voxels(plan_->image.first, [&](size_t voxel, T& value, T&) { value = batch.input[voxel]; });
  }

  // The loss, and its slope as the gradient of the output.
  StepResult loss(const Batch& batch) {
    double sums[2] = {};
    const T weight = static_cast<T>(1 / n_voxels_);
    for_voxels(plan_->output.first, [&](size_t voxel, T& value, T& gradient) {
      const double difference = double{value} - double{batch.target[voxel]};
      sums[0] += std::abs(difference);
      sums[1] += std::abs(double{batch.input[voxel]} - double{batch.target[voxel]});
      gradient = difference > 0 ? weight : difference < 0 ? -weight : T{0};
    });
    collective_.sum(sums, 2);
    return {.loss = sums[0] / n_voxels_, .input_loss = sums[1] / n_voxels_};
  }

  void add_gradient(OutputLoss& extra_loss) {
    std::vector<float> gradient(static_cast<size_t>(plan_->layout.size.voxels()) * patches_.size());
    extra_loss.add_gradient(n_patches_, copied_output(), gradient.data());
    for_voxels(plan_->output.first,
               [&](size_t voxel, T&, T& of_voxel) { of_voxel += static_cast<T>(gradient[voxel]); });
  }

  // ---- forward ----

  void run_forward(const Batch& batch) {
    network_ = make_network(current_weights());
    prepare(batch);
    convs_.emplace(*network_, options_.conv, Directions::both);
    gather(batch);
    network_->forward(*plan_, *this);
  }

  const float* copied_output() {
    output_.resize(static_cast<size_t>(plan_->layout.size.voxels()) * patches_.size());
    for_voxels(plan_->output.first, [&](size_t voxel, T& value, T&) { output_[voxel] = static_cast<float>(value); });
    return output_.data();
  }

  void conv3d(Channels x, const Layer& layer, Channels y) override {
    const NormAffine* affine = layer.norm ? &set_norm(x, *layer.norm).affine : nullptr;
    run(x, prologue_.of(layer, affine), layer.conv, y);
  }

  void prelu(Channels x, const PReluLayer& layer, Channels y) override {
    const T* slope = prologue_.of(layer);
    for (const PatchGradients<T>& patch : patches_) sr::prelu(patch.f, x, slope, y, threads_);
  }

  void norm_add(Channels x, const NormLayer& norm, Channels skip, Channels y) override {
    const Prologue<T> p = prologue_.of(set_norm(x, norm).affine);
    for (const PatchGradients<T>& patch : patches_) sr::norm_add(patch.f, x, p.scale, p.shift, skip, y, threads_);
  }

  void add_input(Channels image, Channels output) override {
    const Size3 size = plan_->layout.size;
    for (const PatchGradients<T>& patch : patches_)
      for (int z = 0; z < size.d; z++)
        for (int row = 0; row < size.h; row++)
          for (int i = 0; i < size.w; i++) patch.f.at(output.first, z, row)[i] += patch.f.at(image.first, z, row)[i];
  }

  void run(Channels x, Prologue<T> prologue, const ConvLayer& conv, Channels y) {
    sums_.resize(static_cast<size_t>(plan_->n_channels));
    std::vector<ChannelSums> of_patch(static_cast<size_t>(y.count));
    ChannelSums* total = sums_.data() + y.first;
    std::fill_n(total, y.count, ChannelSums{});
    for (const PatchGradients<T>& patch : patches_) {
      convs_->forward(patch.f, x, prologue, conv, y, of_patch.data(), scratch_);
      for (int c = 0; c < y.count; c++) {
        total[c].sum += of_patch[c].sum;
        total[c].sum_of_squares += of_patch[c].sum_of_squares;
      }
    }
    static_assert(sizeof(ChannelSums) == 2 * sizeof(double));
    collective_.sum(&total->sum, 2 * int64_t{y.count});
  }

  const NormState& set_norm(Channels x, const NormLayer& norm) {
    norms_.resize(network_->norms().size());
    NormState& state = norms_[norm.id];
    if (options_.frozen_norm) {
      state.mean.assign(norm.running_mean.begin(), norm.running_mean.end());
      state.variance.assign(norm.running_var.begin(), norm.running_var.end());
    } else {
      state.mean.resize(static_cast<size_t>(x.count));
      state.variance.resize(static_cast<size_t>(x.count));
      for (int c = 0; c < x.count; c++) {
        const ChannelSums& sums = sums_[x.first + c];
        const double mean = sums.sum / n_voxels_;
        state.mean[c] = mean;
        state.variance[c] = std::max(0.0, sums.sum_of_squares / n_voxels_ - mean * mean);
      }
    }
    set_affine(norm, state.mean, state.variance, state.affine);
    return state;
  }

  // ---- backward ----

  void begin_backward() {
    conv_gradients_.assign(network_->convs().size(), {});
    norm_gradients_.assign(network_->norms().size(), {});
    prelu_gradients_.assign(network_->prelus().size(), {});
    slope_.assign(static_cast<size_t>(plan_->n_channels), 0.0);
    offset_.assign(static_cast<size_t>(plan_->n_channels), 0.0);
  }

  void conv3d(Channels x, const Layer& layer, Channels y, Gradients x_gradients) override {
    const NormState* state = layer.norm ? &norms_[layer.norm->id] : nullptr;
    const Prologue<T> prologue = prologue_.of(layer, state ? &state->affine : nullptr);
    add_statistics_gradient(y);
    weights_gradient(x, prologue, layer.conv, y);
    if (x_gradients == Gradients::none) return;
    const bool plain = layer.act.kind == Activation::Kind::none;  // nobody asks for sums
    std::vector<GradientSums> sums = over_patches(x, [&](const PatchGradients<T>& patch, GradientSums* of_patch) {
      convs_->backward_data(patch, x, prologue, layer.conv, y, x_gradients == Gradients::add,
                            plain ? nullptr : of_patch, scratch_);
    });
    if (layer.act.prelu) slope_gradient(*layer.act.prelu, sums);
    if (state) norm_gradient(x, *layer.norm, *state, sums);
  }

  void prelu(Channels x, const PReluLayer& layer, Channels y, Gradients x_gradients) override {
    add_statistics_gradient(y);
    const T* slope = prologue_.of(layer);
    std::vector<double>& total = prelu_gradients_[layer.id];
    std::vector<double> of_patch(layer.slope.size());
    total.assign(layer.slope.size(), 0.0);
    for (const PatchGradients<T>& patch : patches_) {
      prelu_backward(patch.f, patch.g, x, slope, y, x_gradients == Gradients::add, of_patch.data(), threads_);
      for (size_t c = 0; c < total.size(); c++) total[c] += of_patch[c];
    }
  }

  void norm_add(Channels x, const NormLayer& norm, Channels skip, Channels y, Gradients skip_gradients) override {
    add_statistics_gradient(y);
    const NormState& state = norms_[norm.id];
    const Prologue<T> p = prologue_.of(state.affine);
    std::vector<GradientSums> sums = over_patches(x, [&](const PatchGradients<T>& patch, GradientSums* of_patch) {
      norm_add_backward(patch.f, patch.g, x, p.scale, skip, y, skip_gradients == Gradients::add, of_patch, threads_);
    });
    norm_gradient(x, norm, state, sums);
  }

  void recompute(Channels x, const Layer& layer, Channels y) override { conv3d(x, layer, y); }

  // The sums that f(patch, sums) leaves of each channel of x, added up over the batch.
  template <class F>
  std::vector<GradientSums> over_patches(Channels x, F f) {
    std::vector<GradientSums> total(static_cast<size_t>(x.count)), of_patch(total.size());
    for (const PatchGradients<T>& patch : patches_) {
      f(patch, of_patch.data());
      for (size_t c = 0; c < total.size(); c++) {
        total[c].sum += of_patch[c].sum;
        total[c].sum_times_x += of_patch[c].sum_times_x;
        total[c].slope += of_patch[c].slope;
      }
    }
    return total;
  }

  void slope_gradient(const PReluLayer& prelu, const std::vector<GradientSums>& sums) {
    std::vector<double>& gradient = prelu_gradients_[prelu.id];
    gradient.clear();
    for (const GradientSums& s : sums) gradient.push_back(s.slope);
  }

  // The part of y's gradient that batch-norms' statistics have left as an affine of y.
  void add_statistics_gradient(Channels y) {
    double* slope = slope_.data() + y.first;
    double* offset = offset_.data() + y.first;
    const auto is_zero = [](double v) { return v == 0; };
    if (!std::all_of(slope, slope + y.count, is_zero) || !std::all_of(offset, offset + y.count, is_zero)) {
      const int n = static_cast<int>(patches_.size());
#pragma omp parallel for num_threads(threads_) schedule(static) collapse(2)
      for (int p = 0; p < n; p++)
        for (int c = 0; c < y.count; c++)
          add_affine(patches_[p].f, patches_[p].g, {y.first + c, 1}, slope + c, offset + c);
    }
    std::fill_n(slope, y.count, 0.0);
    std::fill_n(offset, y.count, 0.0);
  }

  void weights_gradient(Channels x, Prologue<T> prologue, const ConvLayer& conv, Channels y) {
    ConvGradient& gradient = conv_gradients_[conv.id];
    gradient.weight.assign(conv.weight.size(), 0.0);
    gradient.bias.assign(conv.bias.size(), 0.0);
    convs_->backward_weights(patches_, x, prologue, conv, y, gradient.weight.data(),
                             conv.bias.empty() ? nullptr : gradient.bias.data(), scratch_);
  }

  // kernels/conv3d_backward.h has the formulas. The sums of this rank give its share of gamma's and beta's gradients,
  // those of all ranks what the statistics carry back.
  void norm_gradient(Channels x, const NormLayer& norm, const NormState& state, std::vector<GradientSums>& sums) {
    NormGradient& gradient = norm_gradients_[norm.id];
    gradient.gamma.resize(sums.size());
    gradient.beta.resize(sums.size());
    const auto dgamma = [&](size_t c) {
      return (sums[c].sum_times_x - state.mean[c] * sums[c].sum) / std::sqrt(state.variance[c] + norm.eps);
    };
    for (size_t c = 0; c < sums.size(); c++) {
      gradient.gamma[c] = dgamma(c);
      gradient.beta[c] = sums[c].sum;
    }
    if (options_.frozen_norm) return;
    static_assert(sizeof(GradientSums) == 3 * sizeof(double));
    collective_.sum(&sums.front().sum, 3 * static_cast<int64_t>(sums.size()));
    for (size_t c = 0; c < sums.size(); c++) {
      const double scale = state.affine.scale[c];
      const double slope = -scale * dgamma(c) / (n_voxels_ * std::sqrt(state.variance[c] + norm.eps));
      const auto channel = static_cast<size_t>(x.first) + c;
      slope_[channel] += slope;
      offset_[channel] += -scale * sums[c].sum / n_voxels_ - state.mean[c] * slope;
    }
  }

  // All layers' gradients in the order of parameters.h.
  std::vector<float> gradient_row() const {
    std::vector<float> row(parameters_.size());
    for (size_t i = 0; i < layers_.convs.size(); i++) {
      const LayerParameters::Conv& conv = layers_.convs[i];
      copy_weights(i, conv.weight.count, row.data() + conv.weight.offset);
      if (conv.bias) std::ranges::copy(conv_gradients_[i].bias, row.data() + conv.bias->offset);
    }
    for (size_t i = 0; i < layers_.norms.size(); i++) {
      std::ranges::copy(norm_gradients_[i].gamma, row.data() + layers_.norms[i].gamma.offset);
      std::ranges::copy(norm_gradients_[i].beta, row.data() + layers_.norms[i].beta.offset);
    }
    for (size_t i = 0; i < layers_.prelus.size(); i++)
      std::ranges::copy(prelu_gradients_[i], row.data() + layers_.prelus[i].offset);
    return row;
  }

  // A layer over the trunk may read channels that its weights in the file do not have.
  void copy_weights(size_t conv, int64_t count, float* to) const {
    const std::vector<double>& from = conv_gradients_[conv].weight;
    if (static_cast<int64_t>(from.size()) == count) {
      std::ranges::transform(from, to, [](double g) { return static_cast<float>(g); });
      return;
    }
    const ConvLayer& layer = network_->convs()[conv];
    const ModelDescription& model = network_->model;
    const std::vector<int> channels = trunk_channels(model, layer.ci / model.block_channels());
    for (int co = 0; co < layer.co; co++)
      for (const int channel : channels) *to++ = static_cast<float>(from[co * layer.ci + channel]);
  }

  void move_running_statistics() {
    const double momentum = options_.norm_momentum, unbiased = n_voxels_ / std::max(1.0, n_voxels_ - 1);
    for (size_t i = 0; i < layers_.norms.size(); i++) {
      const NormState& state = norms_[i];
      std::vector<float>& mean = weights_.tensors.at(layers_.norms[i].running_mean).data;
      std::vector<float>& variance = weights_.tensors.at(layers_.norms[i].running_var).data;
      for (size_t c = 0; c < mean.size(); c++) {
        mean[c] = static_cast<float>((1 - momentum) * mean[c] + momentum * state.mean[c]);
        variance[c] = static_cast<float>((1 - momentum) * variance[c] + momentum * unbiased * state.variance[c]);
      }
    }
  }

  struct ConvGradient {
    std::vector<double> weight, bias;
  };
  struct NormGradient {
    std::vector<double> gamma, beta;
  };

  TrainingOptions options_;
  Collective& collective_;
  int threads_;
  ConvScratch scratch_;

  Weights weights_;  // running statistics, and the parameters as they were when the network was last made of them
  std::vector<ParameterRange> ranges_;
  LayerParameters layers_;
  std::vector<float> parameters_;
  OptimiserState state_;

  std::unique_ptr<Network> network_;  // of this step
  std::optional<Convs> convs_;        // its weights, packed
  std::optional<Plan> plan_;
  std::optional<Buffers<T>> buffers_;
  std::vector<PatchGradients<T>> patches_;
  int n_patches_ = 0;
  std::vector<float> output_;  // of the last batch, patch by patch
  double n_voxels_ = 0;        // of all ranks' batches

  std::vector<ChannelSums> sums_;       // by channel, of all ranks' batches
  std::vector<NormState> norms_;        // by id
  HostPrologue<T> prologue_;            // of the layer at hand
  std::vector<double> slope_, offset_;  // by channel: what add_statistics_gradient() brings
  std::vector<ConvGradient> conv_gradients_;
  std::vector<NormGradient> norm_gradients_;
  std::vector<std::vector<double>> prelu_gradients_;
};

}  // namespace

std::unique_ptr<TrainingEngine> make_host_engine(const Weights& weights, const TrainingOptions& options,
                                                 Collective& collective) {
  if (options.kind == BackendKind::ref) return std::make_unique<HostEngine<RefConvs>>(weights, options, collective);
  return std::make_unique<HostEngine<CpuConvs>>(weights, options, collective);
}

}  // namespace sr::train
