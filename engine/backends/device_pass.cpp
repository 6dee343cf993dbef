#include "engine/backends/device_pass.h"

#include <algorithm>

namespace sr {

using cuda::DevicePrologue;
using cuda::Precision;

int64_t element_bytes(Precision precision) {
  return precision == Precision::f16 || precision == Precision::bf16 ? 2 : 4;
}

DevicePass::DevicePass(const cuda::Api& api, Precision precision) : api_(api), precision_(precision) {
  require(api_, api_.create_stream(&stream_));
}

DevicePass::~DevicePass() {
  api_.destroy_stream(stream_);
}

void DevicePass::upload_identity(const Network& network) {
  int widest = 0;
  for (const ConvLayer& conv : network.convs()) widest = std::max(widest, conv.ci);
  ones_ = uploaded(std::vector<float>(static_cast<size_t>(widest), 1.0f));
  zeros_ = uploaded(std::vector<float>(static_cast<size_t>(widest), 0.0f));
}

cuda::FeatureMaps DevicePass::maps(void* features) const {
  return {features, plan_->layout.size, n_, feature_channels() * plan_->layout.size.voxels()};
}

cuda::Operand DevicePass::operand(Channels c) const {
  if (c.first == plan_->image.first) return {{}, {0, 1}, image_.data()};
  if (c.first == plan_->output.first) return {{}, {0, 1}, output_.data()};
  return {maps(features_.data()), c, nullptr};
}

DevicePrologue DevicePass::prologue_of(const Layer& layer, DevicePrologue affine) const {
  if (layer.act.kind == Activation::Kind::none) return {};
  DevicePrologue prologue = layer.norm ? affine : DevicePrologue{.scale = ones_.data(), .shift = zeros_.data()};
  if (layer.act.prelu) prologue.slope = slope_of(*layer.act.prelu);
  return prologue;
}

void DevicePass::conv3d(Channels x, const Layer& layer, Channels y) {
  const DevicePrologue affine = layer.norm ? affine_of(x, *layer.norm) : DevicePrologue{};
  const ConvNumbers numbers = numbers_of(layer.conv);
  const bool sums = wants_sums(y);
  require(api_, api_.conv3d_forward({.precision = precision_,
                                     .shape = layer.conv.view(),
                                     .packed_weights = numbers.packed_weights,
                                     .bias = numbers.bias,
                                     .x = operand(x),
                                     .y = operand(y),
                                     .prologue = prologue_of(layer, affine),
                                     .partial_sums = sums ? partial_sums_.data() : nullptr},
                                    stream_));
  if (sums) add_sums(layer.conv, y, api_.conv3d_parts(layer.conv.view(), precision_, plan_->layout.size));
}

void DevicePass::prelu(Channels x, const PReluLayer& layer, Channels y) {
  require(api_, api_.prelu(precision_, operand(x).maps, x, slope_of(layer), y, stream_));
}

void DevicePass::norm_add(Channels x, const NormLayer& norm, Channels skip, Channels y) {
  require(api_, api_.norm_add(precision_, operand(x).maps, x, affine_of(x, norm), skip, y, stream_));
}

void DevicePass::add_input(Channels, Channels) {
  require(api_, api_.add_images(image_.data(), output_.data(), n_ * plan_->layout.size.voxels(), stream_));
}

}  // namespace sr
