#include "engine/networks/net_mdcsrn.h"

#include <fmt/core.h>

#include <algorithm>
#include <tuple>

#include "engine/networks/plan.h"

namespace sr {

std::vector<int> trunk_channels(const ModelDescription& model, int n_blocks) {
  const int n_input = 2 * model.growth, n_block = model.block_channels();
  std::vector<int> channels;
  for (int block = 0; block < n_blocks; block++)
    for (int c = 0; c < n_block; c++)
      if (model.trunk == Trunk::with_inputs || block == 0 || c >= n_input) channels.push_back(block * n_block + c);
  return channels;
}

Mdcsrn::Mdcsrn(const Weights& weights) : Network(weights) {
  stem_ = &conv(weights, "stem.conv");
  for (int i = 0; i < model.blocks; i++) {
    if (i > 0) compressors_.push_back(&trunk_conv(weights, fmt::format("compressors.{}.conv", i - 1), i));
    std::vector<Unit>& units = blocks_.emplace_back();
    for (int j = 0; j < model.units; j++) {
      const std::string name = fmt::format("blocks.{}.units.{}", i, j);
      std::optional<NormConv> bottleneck;
      if (model.unit_has_bottleneck(j)) bottleneck.emplace(norm_conv(weights, name + ".bottleneck"));
      units.push_back({bottleneck, norm_conv(weights, name)});
    }
  }
  if (model.reconstruction) {
    const ConvLayer& compress = trunk_conv(weights, "reconstruction.compress.conv", model.blocks);
    reconstruction_.emplace(Reconstruction{compress, norm_conv(weights, "reconstruction")});
  } else {
    combine_ = &trunk_conv(weights, "combine.conv", model.blocks);
  }
}

// A 1x1x1 convolution over the trunk after n_blocks blocks. The feature buffer always holds the block inputs x_2 ..
// x_n as well; where the trunk leaves them out, zeros stand for them.
const ConvLayer& Mdcsrn::trunk_conv(const Weights& weights, const std::string& name, int n_blocks) {
  conv(weights, name);
  ConvLayer& layer = convs_.back();
  if (model.trunk == Trunk::with_inputs) return layer;
  const std::vector<int> channels = trunk_channels(model, n_blocks);
  const int n_buffer = trunk(n_blocks).count;
  std::vector<float> wide(static_cast<size_t>(layer.co) * static_cast<size_t>(n_buffer));
  const float* from = layer.weight.data();
  for (int co = 0; co < layer.co; co++)
    for (const int channel : channels) wide[co * n_buffer + channel] = *from++;
  layer.weight = std::move(wide);
  layer.ci = n_buffer;
  return layer;
}

Network::Need Mdcsrn::need(Keep) const {
  int n_scratch = 0;
  for (const Unit& unit : blocks_.front())
    if (unit.bottleneck) n_scratch = std::max(n_scratch, unit.bottleneck->conv.co);
  if (reconstruction_) n_scratch = std::max(n_scratch, reconstruction_->compress.co);
  const int n_trunk = trunk(model.blocks).count;
  return {n_trunk + n_scratch, {n_trunk, n_scratch}};
}

int Mdcsrn::receptive_radius() const {
  return 1 + model.blocks * model.units + (reconstruction_ ? 1 : 0);
}

// Shapes behind the lines are channels; every one is (d, h, w) of the patch. Example: b4u4, k = 12.
void Mdcsrn::forward(const Plan& plan, PatchOps& op) const {
  const auto& [B, U, k] = std::tuple{model.blocks, model.units, model.growth};

  for (int i = 0; i < B; i++) {
    const int block = i * model.block_channels();
    const Channels x_i = {block, 2 * k};
    if (i == 0)
      op.conv3d(plan.image, *stem_, x_i);  // 1 -> 24
    else
      op.conv3d(trunk(i), *compressors_[i - 1], x_i);  // 72 i -> 24

    for (int j = 0; j < U; j++) {
      const Unit& unit = blocks_[i][j];
      const Channels x = {block, (2 + j) * k};  // [x_i, d1 .. dj], already side by side
      const Channels d = {block + (2 + j) * k, k};
      if (unit.bottleneck) {
        const Channels narrow = {plan.scratch.first, 4 * k};
        op.norm_elu_conv3d(x, *unit.bottleneck, narrow);  // 60 -> 48
        op.norm_elu_conv3d(narrow, unit.main, d);         // 48 -> 12
      } else {
        op.norm_elu_conv3d(x, unit.main, d);  // 24, 36, 48 -> 12
      }
    }
  }

  if (reconstruction_) {
    const Channels narrow = {plan.scratch.first, 8 * k};
    op.conv3d(trunk(B), reconstruction_->compress, narrow);          // 288 -> 96
    op.norm_elu_conv3d(narrow, reconstruction_->main, plan.output);  // 96 -> 1
  } else {
    op.conv3d(trunk(B), *combine_, plan.output);  // 288 -> 1
  }
  if (model.residual) op.add_input(plan.image, plan.output);
}

// forward line by line, from the last to the first. All layers after a feature have added to its gradient when
// the layer that wrote it comes.
void Mdcsrn::backward(const Plan& plan, GradientOps& op) const {
  const auto& [B, U, k] = std::tuple{model.blocks, model.units, model.growth};

  if (reconstruction_) {
    const Channels narrow = {plan.scratch.first, 8 * k};
    op.norm_elu_conv3d(narrow, reconstruction_->main, plan.output, Gradients::set);
    op.conv3d(trunk(B), reconstruction_->compress, narrow, Gradients::set);
  } else {
    op.conv3d(trunk(B), *combine_, plan.output, Gradients::set);
  }

  for (int i = B - 1; i >= 0; i--) {
    const int block = i * model.block_channels();
    const Channels x_i = {block, 2 * k};
    for (int j = U - 1; j >= 0; j--) {
      const Unit& unit = blocks_[i][j];
      const Channels x = {block, (2 + j) * k};
      const Channels d = {block + (2 + j) * k, k};
      if (unit.bottleneck) {
        const Channels narrow = {plan.scratch.first, 4 * k};
        op.recompute(x, *unit.bottleneck, narrow);
        op.norm_elu_conv3d(narrow, unit.main, d, Gradients::set);
        op.norm_elu_conv3d(x, *unit.bottleneck, narrow, Gradients::add);
      } else {
        op.norm_elu_conv3d(x, unit.main, d, Gradients::add);
      }
    }
    if (i == 0)
      op.conv3d(plan.image, *stem_, x_i, Gradients::none);
    else
      op.conv3d(trunk(i), *compressors_[i - 1], x_i, Gradients::add);
  }
}

std::unique_ptr<Network> make_mdcsrn(const Weights& weights) {
  return std::make_unique<Mdcsrn>(weights);
}

}  // namespace sr
