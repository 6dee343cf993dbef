// Training on the host: `cpu` in float32 and `ref` in double share everything but the convolutions. A step walks the
// network layer by layer with all patches of the batch, because batch-norm in train mode needs their statistics.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <new>

#include "engine/base/machine.h"
#include "engine/base/status.h"
#include "engine/networks/net_mdcsrn.h"
#include "engine/networks/norm_mode.h"
#include "engine/networks/plan.h"
#include "engine/training/adam.h"
#include "engine/training/host_critic.h"
#include "engine/training/host_engine.h"
#include "engine/training/parameters.h"
#include "kernels/conv3d_backward.h"
#include "kernels/cpu_target.h"
#include "kernels/memory.h"
#include "kernels/pointwise.h"

namespace sr::train {
namespace {

// A patch of the batch: its features and their gradients.
template <class T>
struct Patch {
  Features<T> f, g;
};

// The convolutions in float32, packed anew for each step.
class CpuConvs {
 public:
  using Value = float;
  static Layout layout(Size3 size) { return padded_layout(size); }
  static std::string name() { return fmt::format("CPU ({})", cpu_target()); }

  CpuConvs(ConvAlgorithm algorithm, int n_threads) : algorithm_(algorithm), scratch_(n_threads) {}

  void pack(const Network& network) {
    forward_.clear();
    backward_.clear();
    for (const ConvLayer& conv : network.convs()) {
      const std::vector<float> transposed = transposed_weights(conv.view());
      forward_.emplace_back(conv.view(), algorithm_);
      backward_.emplace_back(ConvWeights{conv.co, conv.ci, conv.size, transposed.data()}, algorithm_);
    }
  }
  void forward(Features<float> f, Channels x, Prologue<float> prologue, const ConvLayer& conv, Channels y,
               ChannelSums* sums) {
    conv3d_forward_cpu(f, x, prologue, forward_[static_cast<size_t>(conv.id)], y, sums, scratch_);
  }
  void backward_data(const Patch<float>& patch, Channels x, Prologue<float> prologue, const ConvLayer& conv, Channels y,
                     bool accumulate, GradientSums* sums) {
    conv3d_backward_data_cpu(patch.f, patch.g, x, prologue, backward_[static_cast<size_t>(conv.id)], y, accumulate,
                             sums, scratch_);
  }
  void backward_weights(const std::vector<Patch<float>>& patches, Channels x, Prologue<float> prologue,
                        const ConvLayer& conv, Channels y, double* dweight, double* dbias) {
    std::vector<TrainedPatch> list;
    for (const Patch<float>& patch : patches) list.push_back({patch.f, patch.g});
    conv3d_backward_weights_cpu(list, x, prologue, conv.size, y, algorithm_, dweight, dbias, scratch_);
  }

 private:
  ConvAlgorithm algorithm_;
  ConvScratch scratch_;
  std::vector<PackedConv> forward_, backward_;
};

class RefConvs {
 public:
  using Value = double;
  static Layout layout(Size3 size) { return dense_layout(size); }
  static std::string name() { return "reference (plain loops, double)"; }

  RefConvs(ConvAlgorithm, int) {}
  void pack(const Network&) {}
  void forward(Features<double> f, Channels x, Prologue<double> prologue, const ConvLayer& conv, Channels y,
               ChannelSums* sums) {
    conv3d_forward_ref(f, x, prologue, conv.view(), y, sums);
  }
  void backward_data(const Patch<double>& patch, Channels x, Prologue<double> prologue, const ConvLayer& conv,
                     Channels y, bool accumulate, GradientSums* sums) {
    conv3d_backward_data_ref(patch.f, patch.g, x, prologue, conv.view(), y, accumulate, sums);
  }
  void backward_weights(const std::vector<Patch<double>>& patches, Channels x, Prologue<double> prologue,
                        const ConvLayer& conv, Channels y, double* dweight, double* dbias) {
    for (const Patch<double>& patch : patches)
      conv3d_backward_weights_ref(patch.f, patch.g, x, prologue, conv.size, y, dweight, dbias);
  }
};

// Features and gradients of a batch in two allocations of one layout; zero at the start, so that padding lanes are.
template <class T>
class Buffers {
 public:
  Buffers(const Plan& plan, int n)
      : features_(bytes(plan, n)), gradients_(bytes(plan, n)), elements_(plan.elements()), layout_(plan.layout) {}
  std::vector<Patch<T>> patches(int n) {
    std::vector<Patch<T>> list;
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
        convs_(options.conv, threads_) {
    load(weights, {});
  }

  StepResult step(const Batch& batch, double learning_rate, OutputLoss* besides) override {
    StepResult result;
    std::vector<float> gradient = this->gradient(batch, result, besides);
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

  std::vector<float> gradient(const Batch& batch, StepResult& result, OutputLoss* besides) override {
    run_forward(batch);
    result = loss(batch);
    if (!std::isfinite(result.loss)) {
      result.finite = false;
      return {};
    }
    if (besides) add_gradient(*besides);
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
      throw Error(Status::device_trouble,
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
    for (const Patch<T>& patch : patches_)
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

  void add_gradient(OutputLoss& besides) {
    std::vector<float> gradient(static_cast<size_t>(plan_->layout.size.voxels()) * patches_.size());
    besides.add_gradient(n_patches_, copied_output(), gradient.data());
    for_voxels(plan_->output.first,
               [&](size_t voxel, T&, T& of_voxel) { of_voxel += static_cast<T>(gradient[voxel]); });
  }

  // ---- forward ----

  void run_forward(const Batch& batch) {
    network_ = make_network(current_weights());
    prepare(batch);
    convs_.pack(*network_);
    gather(batch);
    network_->forward(*plan_, *this);
  }

  const float* copied_output() {
    output_.resize(static_cast<size_t>(plan_->layout.size.voxels()) * patches_.size());
    for_voxels(plan_->output.first, [&](size_t voxel, T& value, T&) { output_[voxel] = static_cast<float>(value); });
    return output_.data();
  }

  void conv3d(Channels x, const ConvLayer& conv, Channels y) override { run(x, {}, conv, y); }
  void norm_elu_conv3d(Channels x, const NormConv& layer, Channels y) override {
    run(x, prologue(set_norm(x, layer.norm)), layer.conv, y);
  }
  void elu_conv3d(Channels x, const ConvLayer& conv, Channels y) override { run(x, identity(x), conv, y); }
  void prelu_conv3d(Channels x, const PReluConv& layer, Channels y) override {
    run(x, with(layer.prelu, identity(x)), layer.conv, y);
  }
  void norm_prelu_conv3d(Channels x, const NormPReluConv& layer, Channels y) override {
    run(x, with(layer.prelu, prologue(set_norm(x, layer.norm))), layer.conv, y);
  }

  void prelu(Channels x, const PReluLayer& layer, Channels y) override {
    const Prologue<T> p = with(layer, {});
    for (const Patch<T>& patch : patches_) sr::prelu(patch.f, x, p.slope, y, threads_);
  }

  void norm_add(Channels x, const NormLayer& norm, Channels skip, Channels y) override {
    const Prologue<T> p = prologue(set_norm(x, norm));
    for (const Patch<T>& patch : patches_) sr::norm_add(patch.f, x, p.scale, p.shift, skip, y, threads_);
  }

  void add(Channels x, Channels y) override {
    const Size3 size = plan_->layout.size;
    for (const Patch<T>& patch : patches_)
      for (int z = 0; z < size.d; z++)
        for (int row = 0; row < size.h; row++)
          for (int i = 0; i < size.w; i++) patch.f.at(y.first, z, row)[i] += patch.f.at(x.first, z, row)[i];
  }

  void run(Channels x, Prologue<T> prologue, const ConvLayer& conv, Channels y) {
    sums_.resize(static_cast<size_t>(plan_->n_channels));
    std::vector<ChannelSums> of_patch(static_cast<size_t>(y.count));
    ChannelSums* total = sums_.data() + y.first;
    std::fill_n(total, y.count, ChannelSums{});
    for (const Patch<T>& patch : patches_) {
      convs_.forward(patch.f, x, prologue, conv, y, of_patch.data());
      for (int c = 0; c < y.count; c++) {
        total[c].sum += of_patch[static_cast<size_t>(c)].sum;
        total[c].sum_of_squares += of_patch[static_cast<size_t>(c)].sum_of_squares;
      }
    }
    static_assert(sizeof(ChannelSums) == 2 * sizeof(double));
    collective_.sum(&total->sum, 2 * int64_t{y.count});
  }

  const NormState& set_norm(Channels x, const NormLayer& norm) {
    norms_.resize(network_->norms().size());
    NormState& state = norms_[static_cast<size_t>(norm.id)];
    if (options_.frozen_norm) {
      state.mean.assign(norm.running_mean.begin(), norm.running_mean.end());
      state.variance.assign(norm.running_var.begin(), norm.running_var.end());
    } else {
      state.mean.resize(static_cast<size_t>(x.count));
      state.variance.resize(static_cast<size_t>(x.count));
      for (int c = 0; c < x.count; c++) {
        const ChannelSums& sums = sums_[static_cast<size_t>(x.first + c)];
        const double mean = sums.sum / n_voxels_;
        state.mean[static_cast<size_t>(c)] = mean;
        state.variance[static_cast<size_t>(c)] = std::max(0.0, sums.sum_of_squares / n_voxels_ - mean * mean);
      }
    }
    set_affine(norm, state.mean, state.variance, state.affine);
    return state;
  }

  // These hold until the next call.
  Prologue<T> prologue(const NormState& state) {
    scale_.assign(state.affine.scale.begin(), state.affine.scale.end());
    shift_.assign(state.affine.shift.begin(), state.affine.shift.end());
    return {scale_.data(), shift_.data()};
  }
  Prologue<T> identity(Channels x) {
    scale_.assign(static_cast<size_t>(x.count), T{1});
    shift_.assign(static_cast<size_t>(x.count), T{0});
    return {scale_.data(), shift_.data()};
  }
  Prologue<T> with(const PReluLayer& prelu, Prologue<T> prologue) {
    prelu_slope_.assign(prelu.slope.begin(), prelu.slope.end());
    prologue.slope = prelu_slope_.data();
    return prologue;
  }

  // ---- backward ----

  void begin_backward() {
    conv_gradients_.assign(network_->convs().size(), {});
    norm_gradients_.assign(network_->norms().size(), {});
    prelu_gradients_.assign(network_->prelus().size(), {});
    slope_.assign(static_cast<size_t>(plan_->n_channels), 0.0);
    offset_.assign(static_cast<size_t>(plan_->n_channels), 0.0);
  }

  void conv3d(Channels x, const ConvLayer& conv, Channels y, Gradients x_gradients) override {
    settle(y);
    weights_gradient(x, {}, conv, y);
    for (const Patch<T>& patch : patches_)
      convs_.backward_data(patch, x, {}, conv, y, x_gradients == Gradients::add, nullptr);
  }

  void norm_elu_conv3d(Channels x, const NormConv& layer, Channels y, Gradients x_gradients) override {
    const NormState& state = norms_[static_cast<size_t>(layer.norm.id)];
    std::vector<GradientSums> sums = gradients_before(x, prologue(state), layer.conv, y, x_gradients);
    norm_gradient(x, layer.norm, state, sums);
  }
  void elu_conv3d(Channels x, const ConvLayer& conv, Channels y, Gradients x_gradients) override {
    gradients_before(x, identity(x), conv, y, x_gradients);
  }
  void prelu_conv3d(Channels x, const PReluConv& layer, Channels y, Gradients x_gradients) override {
    slope_gradient(layer.prelu, gradients_before(x, with(layer.prelu, identity(x)), layer.conv, y, x_gradients));
  }
  void norm_prelu_conv3d(Channels x, const NormPReluConv& layer, Channels y, Gradients x_gradients) override {
    const NormState& state = norms_[static_cast<size_t>(layer.norm.id)];
    std::vector<GradientSums> sums =
        gradients_before(x, with(layer.prelu, prologue(state)), layer.conv, y, x_gradients);
    slope_gradient(layer.prelu, sums);
    norm_gradient(x, layer.norm, state, sums);
  }

  void prelu(Channels x, const PReluLayer& layer, Channels y, Gradients x_gradients) override {
    settle(y);
    const Prologue<T> p = with(layer, {});
    std::vector<double>& total = prelu_gradients_[static_cast<size_t>(layer.id)];
    std::vector<double> of_patch(layer.slope.size());
    total.assign(layer.slope.size(), 0.0);
    for (const Patch<T>& patch : patches_) {
      prelu_backward(patch.f, patch.g, x, p.slope, y, x_gradients == Gradients::add, of_patch.data(), threads_);
      for (size_t c = 0; c < total.size(); c++) total[c] += of_patch[c];
    }
  }

  void norm_add(Channels x, const NormLayer& norm, Channels skip, Channels y, Gradients skip_gradients) override {
    settle(y);
    const NormState& state = norms_[static_cast<size_t>(norm.id)];
    const Prologue<T> p = prologue(state);
    std::vector<GradientSums> sums = over_patches(x, [&](const Patch<T>& patch, GradientSums* of_patch) {
      norm_add_backward(patch.f, patch.g, x, p.scale, skip, y, skip_gradients == Gradients::add, of_patch, threads_);
    });
    norm_gradient(x, norm, state, sums);
  }

  void stem(Channels image, const ConvLayer& conv, Channels y) override {
    settle(y);
    weights_gradient(image, {}, conv, y);
  }

  void recompute(Channels x, const NormConv& layer, Channels y) override { norm_elu_conv3d(x, layer, y); }

  // The gradients of a convolution behind a prologue; returns the prologue's, before they mean something.
  std::vector<GradientSums> gradients_before(Channels x, Prologue<T> prologue, const ConvLayer& conv, Channels y,
                                             Gradients x_gradients) {
    settle(y);
    weights_gradient(x, prologue, conv, y);
    return over_patches(x, [&](const Patch<T>& patch, GradientSums* of_patch) {
      convs_.backward_data(patch, x, prologue, conv, y, x_gradients == Gradients::add, of_patch);
    });
  }

  // The sums that f(patch, sums) leaves of each channel of x, added up over the batch.
  template <class F>
  std::vector<GradientSums> over_patches(Channels x, F f) {
    std::vector<GradientSums> total(static_cast<size_t>(x.count)), of_patch(total.size());
    for (const Patch<T>& patch : patches_) {
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
    std::vector<double>& gradient = prelu_gradients_[static_cast<size_t>(prelu.id)];
    gradient.clear();
    for (const GradientSums& s : sums) gradient.push_back(s.slope);
  }

  // The part of y's gradient that batch-norms' statistics have left as an affine of y.
  void settle(Channels y) {
    double* slope = slope_.data() + y.first;
    double* offset = offset_.data() + y.first;
    const auto is_zero = [](double v) { return v == 0; };
    if (!std::all_of(slope, slope + y.count, is_zero) || !std::all_of(offset, offset + y.count, is_zero)) {
      const int n = static_cast<int>(patches_.size());
#pragma omp parallel for num_threads(threads_) schedule(static) collapse(2)
      for (int p = 0; p < n; p++)
        for (int c = 0; c < y.count; c++)
          add_affine(patches_[static_cast<size_t>(p)].f, patches_[static_cast<size_t>(p)].g, {y.first + c, 1},
                     slope + c, offset + c);
    }
    std::fill_n(slope, y.count, 0.0);
    std::fill_n(offset, y.count, 0.0);
  }

  void weights_gradient(Channels x, Prologue<T> prologue, const ConvLayer& conv, Channels y) {
    ConvGradient& gradient = conv_gradients_[static_cast<size_t>(conv.id)];
    gradient.weight.assign(conv.weight.size(), 0.0);
    gradient.bias.assign(conv.bias.size(), 0.0);
    convs_.backward_weights(patches_, x, prologue, conv, y, gradient.weight.data(),
                            conv.bias.empty() ? nullptr : gradient.bias.data());
  }

  // kernels/conv3d_backward.h has the formulas. The sums of this rank give its share of gamma's and beta's gradients,
  // those of all ranks what the statistics carry back.
  void norm_gradient(Channels x, const NormLayer& norm, const NormState& state, std::vector<GradientSums>& sums) {
    NormGradient& gradient = norm_gradients_[static_cast<size_t>(norm.id)];
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
      for (const int channel : channels) *to++ = static_cast<float>(from[static_cast<size_t>(co * layer.ci + channel)]);
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
  Convs convs_;

  Weights weights_;  // running statistics, and the parameters as they were when the network was last made of them
  std::vector<ParameterRange> ranges_;
  LayerParameters layers_;
  std::vector<float> parameters_;
  OptimiserState state_;

  std::unique_ptr<Network> network_;  // of this step
  std::optional<Plan> plan_;
  std::optional<Buffers<T>> buffers_;
  std::vector<Patch<T>> patches_;
  int n_patches_ = 0;
  std::vector<float> output_;  // of the last batch, patch by patch
  double n_voxels_ = 0;        // of all ranks' batches

  std::vector<ChannelSums> sums_;               // by channel, of all ranks' batches
  std::vector<NormState> norms_;                // by id
  std::vector<T> scale_, shift_, prelu_slope_;  // of the layer at hand
  std::vector<double> slope_, offset_;          // by channel: what settle() brings
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
