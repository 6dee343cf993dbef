// Training on a GPU. All numbers of a run live there: parameters, moments, features and gradients of the whole batch in
// two buffers of one layout (engine/networks/plan.h). A step is queued on one stream without waiting for anything; what
// the host reads of it are three sums at the end. Over 500 lines because a step's forward pass, its way back and the
// buffers that both lie in are one object: whoever changes one reads the others.
#include "engine/training/device_engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "engine/backends/device_pass.h"
#include "engine/base/status.h"
#include "engine/training/device_adam.h"
#include "engine/training/device_critic.h"
#include "engine/training/parameters.h"
#include "kernels/conv3d_backward.h"

namespace sr::train {
namespace {

using cuda::AdamNumbers;
using cuda::StepSums;

constexpr auto kPrecision = cuda::Precision::fp32;
// Numbers of parameters travel as floats (Packed::index), which hold integers to here.
constexpr int64_t kMostParameters = 1 << 24;

// The sums of two numbers that kernels gather, in three guises.
static_assert(sizeof(ChannelSums) == 2 * sizeof(double) && offsetof(StepSums, input_loss) == sizeof(double));

class DeviceEngine final : public TrainingEngine, DevicePass, GradientOps {
 public:
  DeviceEngine(const cuda::Api& api, int device, const Weights& weights, const TrainingOptions& options,
               Collective& collective)
      : DevicePass(api, kPrecision), ops_(api.training), device_(device), options_(options), collective_(collective) {
    try {
      if (collective_.size() > 1) join_ranks();
      numbers_ = DeviceArray<AdamNumbers>(api_, 1);
      step_sums_ = DeviceArray<StepSums>(api_, 1);
      squares_ = DeviceArray<double>(api_, cuda::kSquareParts);
      load(weights, {});
    } catch (...) {
      leave_ranks();
      throw;
    }
  }
  ~DeviceEngine() override {
    api_.use_device(device_);
    finish_quietly();
    leave_ranks();
  }

  StepResult step(const Batch& batch, double learning_rate, OutputLoss* extra_loss) override {
    use();
    queue_gradient(batch, extra_loss);
    const AdamNumbers numbers = adam_numbers(options_.adam, learning_rate, step_ + 1, options_.clip);
    numbers_.upload(&numbers, 1, stream_);
    require(api_, ops_.adam_step(numbers_.data(), step_sums_.data(), gradient_.data(), gradient_.size(),
                                 parameters_.data(), m_.data(), v_.data(), stream_));
    if (has_batch_norms())
      require(api_, ops_.move_running_statistics(mean_.data(), variance_.data(), step_sums_.data(), mean_.size(),
                                                 options_.norm_momentum, n_voxels_ / std::max(1.0, n_voxels_ - 1),
                                                 running_mean_.data(), running_variance_.data(), stream_));
    const StepResult result = read_result();
    if (result.finite) step_++;
    return result;
  }

  const float* forward(const Batch& batch) override {
    use();
    queue_forward(batch);
    finish();
    return output_.data();
  }

  std::unique_ptr<CriticEngine> make_critic(const CriticState& state, const CriticOptions& options) override {
    return make_device_critic(api_, device_, state, options);
  }

  std::vector<float> gradient(const Batch& batch, StepResult& result, OutputLoss* extra_loss) override {
    use();
    queue_gradient(batch, extra_loss);
    result = read_result();
    return result.finite ? downloaded(gradient_) : std::vector<float>();
  }

  void save(Weights& weights, OptimiserState& state) override {
    use();
    scatter_parameters(downloaded(parameters_), ranges_, weights_);
    const std::vector<float> mean = downloaded(running_mean_), variance = downloaded(running_variance_);
    for (size_t i = 0; i < layers_.norms.size(); i++) {
      const LayerParameters::Norm& norm = layers_.norms[i];
      const int64_t first = first_moment_[i], count = norm.gamma.count;
      std::copy_n(mean.begin() + first, count, weights_.tensors.at(norm.running_mean).data.begin());
      std::copy_n(variance.begin() + first, count, weights_.tensors.at(norm.running_var).data.begin());
    }
    weights = weights_;
    state = {step_, downloaded(m_), downloaded(v_)};
  }

  std::vector<float> parameters() override {
    use();
    return downloaded(parameters_);
  }

  void load(const Weights& weights, const OptimiserState& state) override {
    use();
    weights_ = weights;
    add_running_statistics(weights_);
    ranges_ = parameter_ranges(weights_);
    layers_ = layer_parameters(ranges_);
    const std::vector<float> parameters = gather_parameters(weights_, ranges_);
    const auto moments = [&](std::vector<float> row) {
      row.resize(parameters.size());
      return uploaded(row);
    };
    step_ = state.step;
    parameters_ = uploaded(parameters);
    gradient_ = DeviceArray<float>(api_, parameters_.size());
    m_ = moments(state.m);
    v_ = moments(state.v);
    number_layers();
    upload_statistics();
    forget_batch();  // prepare() makes room again
  }

  std::string describe() const override {
    cuda::DeviceInfo info{};
    api_.device_info(device_, &info);
    return fmt::format("GPU {} ({}), {}", device_, info.name, cuda::to_string(kPrecision));
  }

 private:
  // A convolution's weights in the order of its kernel, forward and transposed, and where each is found among the
  // parameters; and where each parameter's gradient is found in [co][ci][tap].
  struct Packed {
    DeviceArray<int> index;
    DeviceArray<float> weights;
  };
  struct Conv {
    Packed forward, transposed;
    DeviceArray<int> gradient_index;
  };

  // Norms with statistics of the batch.
  bool has_batch_norms() const { return !options_.frozen_norm && !first_moment_.empty(); }

  void use() const { require(api_, api_.use_device(device_)); }

  void leave_ranks() {
    if (communicator_) ops_.leave(communicator_);
    communicator_ = nullptr;
  }

  void join_ranks() {
    if (const char* why = ops_.communicator_missing())
      throw Error(Status::resource_error, fmt::format("training on GPUs with several processes needs NCCL: {}", why));
    char id[cuda::kCommunicatorIdBytes] = {};
    if (collective_.rank() == 0) require(api_, ops_.make_communicator_id(id));
    collective_.broadcast(id, sizeof id);
    require(api_, ops_.join(id, collective_.rank(), collective_.size(), &communicator_));
  }

  void all_reduce(double* values, int64_t n) {
    if (communicator_) require(api_, ops_.all_reduce_doubles(communicator_, values, n, stream_));
  }

  std::vector<float> downloaded(const DeviceArray<float>& array) {
    std::vector<float> host(static_cast<size_t>(array.size()));
    array.download(host.data(), array.size(), stream_);
    finish();
    return host;
  }

  // ---- what a network's layers are on the device ----

  // How a kernel wants its weights is known to the table alone: it packs a network whose weights are the numbers of its
  // parameters (from 1 on; 0 is none), and where they end up is where the weights belong.
  void number_layers() {
    if (parameter_count(ranges_) >= kMostParameters)
      throw Error(Status::resource_error, fmt::format("a network of {} parameters is larger than training on a GPU has "
                                                      "been built for; use --device cpu",
                                                      parameter_count(ranges_)));
    std::vector<float> numbers(static_cast<size_t>(parameter_count(ranges_)));
    for (size_t i = 0; i < numbers.size(); i++) numbers[i] = static_cast<float>(i + 1);
    Weights numbered = weights_;
    scatter_parameters(numbers, ranges_, numbered);
    network_ = make_network(numbered);
    convs_.clear();
    for (const ConvLayer& conv : network_->convs()) {
      const std::vector<float> flipped = transposed_weights(conv.view());
      Conv device;
      device.forward = packed(conv.view());
      if (conv.ci > 1) device.transposed = packed({conv.co, conv.ci, conv.size, flipped.data()});
      device.gradient_index = gradient_index(conv);
      convs_.push_back(std::move(device));
    }
    upload_identity(*network_);
  }

  Packed packed(const ConvWeights& numbered) {
    std::vector<float> in_order(
        static_cast<size_t>(api_.conv3d_packed_bytes(numbered, kPrecision) / int64_t{sizeof(float)}));
    api_.conv3d_pack(numbered, kPrecision, in_order.data());
    std::vector<int> index;
    for (const float number : in_order) index.push_back(static_cast<int>(number) - 1);
    return {uploaded(index), DeviceArray<float>(api_, static_cast<int64_t>(index.size()))};
  }

  DeviceArray<int> gradient_index(const ConvLayer& numbered) {
    const ParameterRange& range = layers_.convs[numbered.id].weight;
    std::vector<int> index(static_cast<size_t>(range.count));
    for (size_t i = 0; i < numbered.weight.size(); i++)
      if (numbered.weight[i] > 0)
        index[static_cast<int64_t>(numbered.weight[i]) - 1 - range.offset] = static_cast<int>(i);
    return uploaded(index);
  }

  void upload_statistics() {
    std::vector<float> mean, variance;
    first_moment_.clear();
    for (const LayerParameters::Norm& norm : layers_.norms) {
      first_moment_.push_back(static_cast<int64_t>(mean.size()));
      const auto append = [&](std::vector<float>& row, const std::string& name) {
        const std::vector<float>& data = weights_.tensors.at(name).data;
        row.insert(row.end(), data.begin(), data.end());
      };
      append(mean, norm.running_mean);
      append(variance, norm.running_var);
    }
    running_mean_ = uploaded(mean);
    running_variance_ = uploaded(variance);
    // With frozen norms these are the moments of every step.
    mean_ = uploaded(std::vector<double>(mean.begin(), mean.end()));
    variance_ = uploaded(std::vector<double>(variance.begin(), variance.end()));
    scale_ = DeviceArray<float>(api_, mean_.size());
    shift_ = DeviceArray<float>(api_, mean_.size());
  }

  // ---- memory of a batch ----

  void forget_batch() {
    plan_ = nullptr;
    batch_plan_.reset();
  }

  void prepare(const Batch& batch) {
    if (plan_ && plan_->layout.size == batch.size && n_ == batch.n) return;
    forget_batch();
    features_ = {};
    for (DeviceArray<float>* array : {&gradients_, &image_, &target_, &output_, &output_gradient_, &partial_sums_})
      *array = {};
    const Plan plan(*network_, dense_layout(batch.size), Keep::all);
    const int64_t voxels = batch.size.voxels() * batch.n;
    n_ = batch.n;
    n_voxels_ = static_cast<double>(voxels) * collective_.size();
    try {
      features_ = DeviceArray<char>(api_, plan.image.first * voxels * element_bytes(kPrecision));
      gradients_ = DeviceArray<float>(api_, plan.image.first * voxels);
      for (DeviceArray<float>* image : {&image_, &target_, &output_, &output_gradient_})
        *image = DeviceArray<float>(api_, voxels);
      partial_sums_ = DeviceArray<float>(api_, most_parts(batch));
    } catch (const OutOfDeviceMemory&) {
      throw Error(Status::resource_error,
                  fmt::format("a batch of {} patches of {}x{}x{} does not fit into the memory of GPU {}; make --batch "
                              "or --patch smaller",
                              batch.n, batch.size.w, batch.size.h, batch.size.d, device_));
    }
    sums_ = DeviceArray<ChannelSums>(api_, plan.n_channels);
    gradient_sums_ = DeviceArray<ChannelSums>(api_, plan.n_channels);
    slope_ = uploaded(std::vector<double>(static_cast<size_t>(plan.n_channels)));
    offset_ = uploaded(std::vector<double>(static_cast<size_t>(plan.n_channels)));
    carried_.assign(static_cast<size_t>(plan.n_channels), false);
    plan_ = &batch_plan_.emplace(plan);
  }

  // Numbers that one operation leaves for the next to add.
  int64_t most_parts(const Batch& batch) const {
    int64_t most = 2 * int64_t{ops_.l1_parts(batch.size.voxels() * batch.n)};
    for (const ConvLayer& conv : network_->convs()) {
      const ConvWeights shape = conv.view(), transposed = {conv.co, conv.ci, conv.size, nullptr};
      const auto sums = [&](const ConvWeights& s, int n_sums) {
        return int64_t{n_sums} * batch.n * s.co *
               std::max(api_.conv3d_parts(s, kPrecision, batch.size), ops_.pointwise_parts(batch.size));
      };
      const int64_t weights =
          static_cast<int64_t>(conv.weight.size()) * ops_.backward_weights_parts(shape, batch.size, batch.n);
      most =
          std::max({most, sums(shape, 2), conv.ci > 1 ? sums(transposed, 3) : 0, weights, int64_t{batch.n} * conv.co});
    }
    return most;
  }

  // ---- a step ----

  void queue_forward(const Batch& batch) {
    prepare(batch);
    pack_weights();
    image_.upload(batch.input.data(), image_.size(), stream_);
    target_.upload(batch.target.data(), target_.size(), stream_);
    network_->forward(*plan_, *this);
  }

  void queue_gradient(const Batch& batch, OutputLoss* extra_loss) {
    queue_forward(batch);
    queue_loss();
    if (extra_loss) {
      finish();  // it has a stream of its own
      extra_loss->add_gradient(n_, output_.data(), output_gradient_.data());
    }
    network_->backward(*plan_, *this);
    if (communicator_)
      require(api_, ops_.all_reduce_floats(communicator_, gradient_.data(), gradient_.size(), stream_));
    require(api_, ops_.sum_of_squares(gradient_.data(), gradient_.size(), squares_.data(), step_sums_.data(), stream_));
  }

  void pack_weights() {
    for (Conv& conv : convs_)
      for (Packed* packed : {&conv.forward, &conv.transposed})
        if (packed->index.size() > 0)
          require(api_, ops_.gather_indexed(parameters_.data(), packed->index.data(), packed->index.size(),
                                            packed->weights.data(), stream_));
  }

  void queue_loss() {
    const int64_t n = output_.size();
    require(api_, ops_.l1_loss(output_.data(), image_.data(), target_.data(), n, static_cast<float>(1 / n_voxels_),
                               output_gradient_.data(), partial_sums_.data(), stream_));
    require(api_, ops_.reduce_batch_sums(partial_sums_.data(), 1, 1, ops_.l1_parts(n),
                                         reinterpret_cast<ChannelSums*>(step_sums_.data()), stream_));
    all_reduce(&step_sums_.data()->loss, 2);
  }

  StepResult read_result() {
    StepSums sums{};
    step_sums_.download(&sums, 1, stream_);
    finish();
    StepResult result = {.loss = sums.loss / n_voxels_,
                         .input_loss = sums.input_loss / n_voxels_,
                         .gradient_norm = std::sqrt(sums.gradient_squares)};
    result.finite = std::isfinite(result.loss) && std::isfinite(result.gradient_norm);
    return result;
  }

  // ---- forward ----

  ConvNumbers numbers_of(const ConvLayer& conv) const override {
    const LayerParameters::Conv& parameters = layers_.convs[conv.id];
    return {convs_[conv.id].forward.weights.data(),
            parameters.bias ? parameters_.data() + parameters.bias->offset : nullptr};
  }
  const float* slope_of(const PReluLayer& prelu) const override {
    return parameters_.data() + layers_.prelus[prelu.id].offset;
  }
  cuda::DevicePrologue affine_of(Channels x, const NormLayer& norm) override {
    set_norm(x, norm);
    return affine_met(norm);
  }
  bool wants_sums(Channels y) const override { return has_batch_norms() && y.first != plan_->output.first; }
  void add_sums(const ConvLayer& conv, Channels y, int n_parts) override {
    ChannelSums* sums = sums_.data() + y.first;
    require(api_, ops_.reduce_batch_sums(partial_sums_.data(), n_, conv.co, n_parts, sums, stream_));
    all_reduce(&sums->sum, 2 * int64_t{conv.co});
  }

  // What a norm is in this step: an affine.
  void set_norm(Channels x, const NormLayer& layer) {
    const int64_t at = first_moment_[layer.id];
    const LayerParameters::Norm& norm = layers_.norms[layer.id];
    if (!options_.frozen_norm)
      require(api_, ops_.batch_moments(sums_.data() + x.first, x.count, n_voxels_, mean_.data() + at,
                                       variance_.data() + at, stream_));
    require(api_, ops_.moments_affine(mean_.data() + at, variance_.data() + at, x.count, layer.eps,
                                      parameters_.data() + norm.gamma.offset, parameters_.data() + norm.beta.offset,
                                      scale_.data() + at, shift_.data() + at, stream_));
  }

  // The affine that the forward pass of this step has set.
  cuda::DevicePrologue affine_met(const NormLayer& norm) const {
    const int64_t at = first_moment_[norm.id];
    return {.scale = scale_.data() + at, .shift = shift_.data() + at};
  }

  // ---- backward ----

  cuda::FeatureMaps features() const { return maps(features_.data()); }
  cuda::FeatureMaps gradients() const { return maps(gradients_.data()); }
  cuda::Operand gradient_operand(Channels c) const {
    if (c.first == plan_->output.first) return {{}, {0, 1}, output_gradient_.data()};
    return {gradients(), c, nullptr};
  }

  using DevicePass::conv3d, DevicePass::prelu, DevicePass::norm_add;  // these are their ways back

  void conv3d(Channels x, const Layer& layer, Channels y, Gradients x_gradients) override {
    const cuda::DevicePrologue prologue =
        prologue_of(layer, layer.norm ? affine_met(*layer.norm) : cuda::DevicePrologue{});
    add_statistics_gradient(y);
    weights_gradient(x, prologue, layer.conv, y);
    if (x_gradients == Gradients::none) return;
    const ConvLayer& conv = layer.conv;
    const ConvWeights transposed = {conv.co, conv.ci, conv.size, nullptr};
    const int n_parts = api_.conv3d_parts(transposed, kPrecision, plan_->layout.size);
    float* partial_slopes = partial_sums_.data() + int64_t{2} * n_ * x.count * n_parts;
    require(api_, ops_.conv3d_backward_data({.shape = transposed,
                                             .packed_weights = convs_[conv.id].transposed.weights.data(),
                                             .dy = gradient_operand(y),
                                             .f = features(),
                                             .g = gradients(),
                                             .x = x,
                                             .prologue = prologue,
                                             .accumulate = x_gradients == Gradients::add,
                                             .partial_sums = layer.norm ? partial_sums_.data() : nullptr,
                                             .partial_slopes = layer.act.prelu ? partial_slopes : nullptr},
                                            stream_));
    if (layer.act.prelu) slope_gradient(*layer.act.prelu, x, partial_slopes, n_parts);
    if (layer.norm) norm_gradient(x, *layer.norm, n_parts);
  }

  void prelu(Channels x, const PReluLayer& layer, Channels y, Gradients x_gradients) override {
    add_statistics_gradient(y);
    require(api_, ops_.prelu_backward(features(), gradients(), x, slope_of(layer), y, x_gradients == Gradients::add,
                                      partial_sums_.data(), stream_));
    slope_gradient(layer, x, partial_sums_.data(), ops_.pointwise_parts(plan_->layout.size));
  }

  void norm_add(Channels x, const NormLayer& norm, Channels skip, Channels y, Gradients skip_gradients) override {
    add_statistics_gradient(y);
    require(api_, ops_.norm_add_backward(features(), gradients(), x, affine_met(norm).scale, skip, y,
                                         skip_gradients == Gradients::add, partial_sums_.data(), stream_));
    norm_gradient(x, norm, ops_.pointwise_parts(plan_->layout.size));
  }

  void recompute(Channels x, const Layer& layer, Channels y) override { DevicePass::conv3d(x, layer, y); }

  // The part of y's gradient that batch-norms' statistics have left as an affine of y.
  void add_statistics_gradient(Channels y) {
    const auto first = carried_.begin() + y.first;
    if (std::find(first, first + y.count, true) == first + y.count) return;
    require(api_,
            ops_.add_affine(features(), gradients(), y, slope_.data() + y.first, offset_.data() + y.first, stream_));
    std::fill_n(first, y.count, false);
  }

  void weights_gradient(Channels x, cuda::DevicePrologue prologue, const ConvLayer& conv, Channels y) {
    const ConvWeights shape = conv.view();
    const Size3 size = plan_->layout.size;
    require(api_, ops_.conv3d_backward_weights({.shape = shape,
                                                .patch = size,
                                                .n_patches = n_,
                                                .x = operand(x),
                                                .prologue = prologue,
                                                .dy = gradient_operand(y),
                                                .partial = partial_sums_.data()},
                                               stream_));
    const LayerParameters::Conv& parameters = layers_.convs[conv.id];
    const DeviceArray<int>& index = convs_[conv.id].gradient_index;
    require(api_, ops_.reduce_parts(partial_sums_.data(), static_cast<int64_t>(conv.weight.size()),
                                    ops_.backward_weights_parts(shape, size, n_), index.data(), index.size(),
                                    gradient_.data() + parameters.weight.offset, stream_));
    if (!parameters.bias) return;
    require(api_, ops_.channel_totals(gradient_operand(y), size, n_, partial_sums_.data(), stream_));
    require(api_, ops_.reduce_parts(partial_sums_.data(), conv.co, n_, nullptr, conv.co,
                                    gradient_.data() + parameters.bias->offset, stream_));
  }

  void slope_gradient(const PReluLayer& layer, Channels x, const float* partial_slopes, int n_parts) {
    require(api_, ops_.reduce_parts(partial_slopes, x.count, n_ * n_parts, nullptr, x.count,
                                    gradient_.data() + layers_.prelus[layer.id].offset, stream_));
  }

  // Of the sums in partial_sums_. Those of this rank give its share of gamma's and beta's gradients, those of all ranks
  // what the statistics carry back.
  void norm_gradient(Channels x, const NormLayer& layer, int n_parts) {
    ChannelSums* sums = gradient_sums_.data();
    require(api_, ops_.reduce_batch_sums(partial_sums_.data(), n_, x.count, n_parts, sums, stream_));
    const int64_t at = first_moment_[layer.id];
    const LayerParameters::Norm& norm = layers_.norms[layer.id];
    require(api_,
            ops_.norm_gradients(sums, x.count, layer.eps, mean_.data() + at, variance_.data() + at,
                                gradient_.data() + norm.gamma.offset, gradient_.data() + norm.beta.offset, stream_));
    if (options_.frozen_norm) return;
    all_reduce(&sums->sum, 2 * int64_t{x.count});
    require(api_, ops_.norm_carry(sums, x.count, n_voxels_, layer.eps, mean_.data() + at, variance_.data() + at,
                                  parameters_.data() + norm.gamma.offset, slope_.data() + x.first,
                                  offset_.data() + x.first, stream_));
    std::fill_n(carried_.begin() + x.first, x.count, true);
  }

  const cuda::TrainingApi& ops_;
  const int device_;
  TrainingOptions options_;
  Collective& collective_;
  cuda::Communicator communicator_ = nullptr;  // null: this process is alone

  Weights weights_;  // the description; its numbers are those of the last save() or load()
  std::vector<ParameterRange> ranges_;
  LayerParameters layers_;
  int64_t step_ = 0;
  DeviceArray<float> parameters_, gradient_, m_, v_;  // in the order of parameters.h
  std::unique_ptr<Network> network_;                  // its weights are numbers of parameters
  std::vector<Conv> convs_;                           // by id

  // Channels of all norms, one norm behind the other.
  std::vector<int64_t> first_moment_;  // by id
  DeviceArray<float> running_mean_, running_variance_;
  DeviceArray<double> mean_, variance_;  // of the batch; the running ones with frozen norms
  DeviceArray<float> scale_, shift_;

  std::optional<Plan> batch_plan_;  // what plan_ points to
  double n_voxels_ = 0;             // of all ranks' batches
  DeviceArray<float> gradients_, target_, output_gradient_;
  DeviceArray<ChannelSums> sums_;           // by channel, of all ranks' batches; recompute() needs them on the way back
  DeviceArray<ChannelSums> gradient_sums_;  // of the layer at hand
  DeviceArray<double> slope_, offset_;      // by channel: what add_statistics_gradient() brings
  std::vector<bool> carried_;               // whether there is something to bring
  DeviceArray<AdamNumbers> numbers_;
  DeviceArray<StepSums> step_sums_;
  DeviceArray<double> squares_;  // parts of the gradient's
};

}  // namespace

std::unique_ptr<TrainingEngine> make_device_engine(const cuda::Api& api, int device, const Weights& weights,
                                                   const TrainingOptions& options, Collective& collective) {
  require(api, api.use_device(device));
  const std::unique_ptr<Network> network = make_network(weights);
  for (const ConvLayer& conv : network->convs())
    if (const char* why = api.supports(conv.view(), kPrecision))
      throw Error(Status::resource_error, fmt::format("GPU {} has no kernel for a layer of {} ({} to {} channels): {}",
                                                      device, network->model.name(), conv.ci, conv.co, why));
  return std::make_unique<DeviceEngine>(api, device, weights, options, collective);
}

}  // namespace sr::train
