#include "engine/backends/cuda_lane.h"

#include <fmt/format.h>

#include <algorithm>

namespace sr {
namespace {

using cuda::Api;
using cuda::Precision;

struct EventPair {
  explicit EventPair(const Api& table) : api(table) {
    require(api, api.create_event(&start));
    require(api, api.create_event(&stop));
  }
  ~EventPair() {
    api.destroy_event(start);
    api.destroy_event(stop);
  }
  const Api& api;
  cuda::Event start = nullptr, stop = nullptr;
};

}  // namespace

DeviceLane::DeviceLane(const Api& api, int device, const Network& network, const Plan& plan, Precision precision,
                       int batch)
    : DevicePass(api, precision), device_(device), network_(network), upload_(api), download_(api) {
  plan_ = &plan;
  upload_weights();
  allocate_batch(batch);
  // One patch of whatever the buffers hold, outside of a graph: code is loaded when a kernel is launched first, which
  // is not to happen while a graph is recorded.
  queue_forward(1, Norms::of_patch);
  finish();
}

DeviceLane::~DeviceLane() {
  api_.use_device(device_);
  finish_quietly();
  destroy_graphs();
}

void DeviceLane::resize(int batch) {
  if (batch == batch_) return;
  destroy_graphs();
  allocate_batch(batch);
}

void DeviceLane::start_volume(const RestoreJob& job) {
  finish();  // an error may have left work under way that uses the memory
  upload_.finish();
  download_.finish();
  const int64_t n = job.input.size.voxels();
  if (volume_.size() < n || result_.size() < n) {
    volume_ = {};  // before the larger one is asked for
    result_ = {};
    volume_ = DeviceArray<float>(api_, n);
    result_ = DeviceArray<float>(api_, n);
  }
  upload_.start(job.input, volume_.data());
  download_.start(job.input.size, result_.data());
}

void DeviceLane::freeze(const FrozenNorms& frozen) {
  std::vector<float> scale, shift;
  for (size_t i = 0; i < norms_.size(); i++) {
    scale.assign(frozen[i].scale.begin(), frozen[i].scale.end());
    shift.assign(frozen[i].shift.begin(), frozen[i].shift.end());
    norms_[i].frozen_scale.upload(scale.data(), static_cast<int64_t>(scale.size()), stream_);
    norms_[i].frozen_shift.upload(shift.data(), static_cast<int64_t>(shift.size()), stream_);
    finish();  // scale and shift are this loop's
  }
}

void DeviceLane::forward(const RestoreJob& job, int first, int n, Norms norms) {
  send(job, first + n);
  origins_host_.resize(static_cast<size_t>(n));
  for (int i = 0; i < n; i++) origins_host_[i] = job.grid.origin(first + i);
  origins_.upload(origins_host_.data(), n, stream_);
  upload_.hold(stream_);
  require(api_, api_.gather_patches(transfer(job, volume_, image_, n), stream_));
  require(api_, api_.launch(graph(n, norms), stream_));
}

void DeviceLane::merge(const RestoreJob& job, int n) {
  require(api_, api_.merge_patches(transfer(job, result_, output_, n), stream_));
}

void DeviceLane::record(int first, int n, ScanStatistics& statistics) {
  std::vector<ChannelSums> sums(static_cast<size_t>(n * sums_stride_));
  sums_.download(sums.data(), static_cast<int64_t>(sums.size()), stream_);
  finish();
  for (int i = 0; i < n; i++)
    for (const NormLayer& norm : network_.norms())
      statistics.record(first + i, norm, sums.data() + i * sums_stride_ + sums_of_norm_[norm.id]);
}

std::vector<LayerTime> DeviceLane::time_layers() {
  std::vector<LayerTime> layers;
  timed_ = &layers;
  try {
    queue_forward(batch_, Norms::of_patch);
  } catch (...) {
    timed_ = nullptr;
    throw;
  }
  timed_ = nullptr;
  return layers;
}

void DeviceLane::upload_weights() {
  for (const ConvLayer& conv : network_.convs()) {
    const ConvWeights shape = conv.view();
    std::vector<char> packed(static_cast<size_t>(api_.conv3d_packed_bytes(shape, precision_)));
    api_.conv3d_pack(shape, precision_, packed.data());
    Conv device{uploaded(packed), {}};
    if (!conv.bias.empty()) device.bias = uploaded(conv.bias);
    convs_.push_back(std::move(device));
  }
  upload_identity(network_);
  for (const NormLayer& norm : network_.norms())
    norms_.push_back({uploaded(norm.gamma), uploaded(norm.beta), DeviceArray<float>(api_, norm.n_channels),
                      DeviceArray<float>(api_, norm.n_channels)});
  for (const PReluLayer& prelu : network_.prelus()) slopes_.push_back(uploaded(prelu.slope));
}

void DeviceLane::destroy_graphs() {
  for (auto& [key, graph] : graphs_) api_.destroy_graph(graph);
  graphs_.clear();
}

void DeviceLane::allocate_batch(int batch) {
  batch_ = 0;
  for (DeviceArray<float>* array : {&image_, &output_, &partial_sums_, &scale_, &shift_}) *array = {};
  features_ = {};
  sums_ = {};
  origins_ = {};
  // Statistics of a channel live until their last reader, a first pass over the scan. Scratch channels are written by
  // several layers, so each of these has sums of its own behind those of the buffer's channels.
  const int64_t voxels = plan_->layout.size.voxels();
  sums_stride_ = plan_->n_channels;
  for (const ConvLayer& conv : network_.convs()) sums_stride_ += conv.co;  // no more than that
  sums_of_norm_.assign(norms_.size(), 0);
  int64_t widest_norm = 0, most_parts = 0;
  for (const NormLayer& norm : network_.norms()) widest_norm = std::max<int64_t>(widest_norm, norm.n_channels);
  for (const ConvLayer& conv : network_.convs())
    most_parts = std::max<int64_t>(most_parts,
                                   int64_t{conv.co} * api_.conv3d_parts(conv.view(), precision_, plan_->layout.size));

  affine_stride_ = widest_norm;
  features_ = DeviceArray<char>(api_, batch * feature_channels() * voxels * element_bytes(precision_));
  image_ = DeviceArray<float>(api_, batch * voxels);
  output_ = DeviceArray<float>(api_, batch * voxels);
  partial_sums_ = DeviceArray<float>(api_, batch * most_parts * 2);
  sums_ = DeviceArray<ChannelSums>(api_, batch * sums_stride_);
  scale_ = DeviceArray<float>(api_, batch * affine_stride_);
  shift_ = DeviceArray<float>(api_, batch * affine_stride_);
  origins_ = DeviceArray<Origin>(api_, batch);
  batch_ = batch;
}

cuda::PatchTransfer DeviceLane::transfer(const RestoreJob& job, const DeviceArray<float>& volume,
                                         const DeviceArray<float>& image, int n) const {
  return {.volume = volume.data(),
          .volume_size = job.input.size,
          .origins = origins_.data(),
          .n_patches = n,
          .patch = plan_->layout.size,
          .image = image.data(),
          .intensity = job.intensity,
          .pad = job.pad,
          .margin = job.grid.margin};
}

// The forward pass of n patches as a graph; recorded when first asked for.
cuda::Graph DeviceLane::graph(int n, Norms norms) {
  const auto [at, fresh] = graphs_.try_emplace({n, norms}, nullptr);
  if (!fresh) return at->second;
  cuda::Graph recorded = nullptr;
  try {
    require(api_, api_.begin_capture(stream_));
    queue_forward(n, norms);
    require(api_, api_.end_capture(stream_, &recorded));
  } catch (...) {
    api_.end_capture(stream_, &recorded);  // or the stream would stay in capture
    if (recorded) api_.destroy_graph(recorded);
    graphs_.erase(at);
    throw;
  }
  return at->second = recorded;
}

void DeviceLane::queue_forward(int n, Norms norms) {
  n_ = n;
  pass_ = norms;
  scratch_sums_.clear();
  next_scratch_sums_ = plan_->n_channels;
  network_.forward(*plan_, *this);
}

// ---- what the forward pass asks ----

namespace {

// ", norm, ELU": what is done to a layer's input.
std::string before_conv(const Layer& layer) {
  const char* const activations[] = {"", ", ELU", ", PReLU"};
  return std::string(layer.norm ? ", norm" : "") + activations[static_cast<int>(layer.act.kind)];
}

}  // namespace

// With timed_ set, between two events, the layer's figures behind it.
void DeviceLane::conv3d(Channels x, const Layer& layer, Channels y) {
  if (!timed_) return DevicePass::conv3d(x, layer, y);
  const EventPair events(api_);
  require(api_, api_.record(events.start, stream_));
  DevicePass::conv3d(x, layer, y);
  require(api_, api_.record(events.stop, stream_));
  finish();
  float ms = 0;
  require(api_, api_.elapsed_ms(events.start, events.stop, &ms));
  const ConvLayer& conv = layer.conv;
  const double voxels = static_cast<double>(plan_->layout.size.voxels());
  const auto bytes = [&](Channels c) {
    return c.count * static_cast<double>(c.count == 1 ? int64_t{sizeof(float)} : element_bytes(precision_));
  };
  timed_->push_back({fmt::format("{0}x{0}x{0} {1} -> {2}{3}", conv.size, conv.ci, conv.co, before_conv(layer)), 1,
                     double{ms}, voxels * conv.ci * conv.co * conv.size * conv.size * conv.size,
                     voxels * (bytes(x) + bytes(y))});
}

DevicePass::ConvNumbers DeviceLane::numbers_of(const ConvLayer& conv) const {
  const Conv& device = convs_[conv.id];
  return {device.weights.data(), device.bias.data()};
}

const float* DeviceLane::slope_of(const PReluLayer& prelu) const {
  return slopes_[prelu.id].data();
}

cuda::DevicePrologue DeviceLane::affine_of(Channels x, const NormLayer& layer) {
  const Norm& norm = norms_[layer.id];
  if (pass_ == Norms::frozen)  // no sums are gathered, and a layer's place among them is not walked
    return {.scale = norm.frozen_scale.data(), .shift = norm.frozen_shift.data()};
  const int64_t sums = in_scratch(x) ? scratch_sums_.at(x.first) : x.first;
  sums_of_norm_[layer.id] = sums;
  require(api_, api_.norm_affine(sums_.data() + sums, sums_stride_, n_, x.count,
                                 static_cast<double>(plan_->layout.size.voxels()), layer.eps, norm.gamma.data(),
                                 norm.beta.data(), scale_.data(), shift_.data(), affine_stride_, stream_));
  return {.scale = scale_.data(), .shift = shift_.data(), .patch_stride = affine_stride_};
}

bool DeviceLane::wants_sums(Channels y) const {
  return !norms_.empty() && pass_ != Norms::frozen && y.first != plan_->output.first;
}

void DeviceLane::add_sums(const ConvLayer& conv, Channels y, int n_parts) {
  int64_t sums = y.first;
  if (in_scratch(y)) {
    sums = scratch_sums_[y.first] = next_scratch_sums_;
    next_scratch_sums_ += y.count;
  }
  require(api_,
          api_.reduce_sums(partial_sums_.data(), n_, conv.co, n_parts, sums_.data() + sums, sums_stride_, stream_));
}

}  // namespace sr
