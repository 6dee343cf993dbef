#include "engine/network.h"

#include <fmt/core.h>

#include <algorithm>

namespace sr {
namespace {

// Makes layers out of named tensors and numbers them.
class Builder {
 public:
  explicit Builder(const Weights& weights) : weights_(weights) {}

  ConvLayer conv(const std::string& name) {
    const Tensor& w = weights_.at(name + ".weight");
    const Tensor* bias = weights_.find(name + ".bias");
    return {n_convs++,
            static_cast<int>(w.shape[1]),
            static_cast<int>(w.shape[0]),
            static_cast<int>(w.shape[2]),
            w.data,
            bias ? bias->data : std::vector<float>{}};
  }

  NormLayer norm(const std::string& name) {
    const Tensor& gamma = weights_.at(name + ".weight");
    const Tensor* mean = weights_.find(name + ".running_mean");
    const Tensor* var = weights_.find(name + ".running_var");
    return {n_norms++,
            static_cast<int>(gamma.shape[0]),
            weights_.model.norm_eps,
            gamma.data,
            weights_.at(name + ".bias").data,
            mean && var ? mean->data : std::vector<float>{},
            mean && var ? var->data : std::vector<float>{}};
  }

  NormConv norm_conv(const std::string& name) { return {norm(name + ".norm"), conv(name + ".conv")}; }

  // A 1x1x1 convolution over the trunk after n_blocks blocks. The feature buffer always holds the block inputs x_2 ..
  // x_n as well; where the trunk leaves them out, zeros stand for them.
  ConvLayer trunk_conv(const std::string& name, int n_blocks) {
    ConvLayer layer = conv(name);
    const ModelDescription& m = weights_.model;
    if (m.trunk == Trunk::with_inputs) return layer;
    const std::vector<int> channels = trunk_channels(m, n_blocks);
    const int n_buffer = n_blocks * (2 + m.units) * m.growth;
    std::vector<float> wide(static_cast<size_t>(layer.co) * static_cast<size_t>(n_buffer));
    const float* from = layer.weight.data();
    for (int co = 0; co < layer.co; co++)
      for (const int channel : channels) wide[static_cast<size_t>(co * n_buffer + channel)] = *from++;
    layer.weight = std::move(wide);
    layer.ci = n_buffer;
    return layer;
  }

  int n_convs = 0, n_norms = 0;

 private:
  const Weights& weights_;
};

}  // namespace

std::vector<int> trunk_channels(const ModelDescription& model, int n_blocks) {
  const int n_input = 2 * model.growth, n_block = (2 + model.units) * model.growth;
  std::vector<int> channels;
  for (int block = 0; block < n_blocks; block++)
    for (int c = 0; c < n_block; c++)
      if (model.trunk == Trunk::with_inputs || block == 0 || c >= n_input) channels.push_back(block * n_block + c);
  return channels;
}

Mdcsrn::Mdcsrn(const Weights& weights) : model(weights.model) {
  Builder build(weights);
  stem = build.conv("stem.conv");
  for (int i = 0; i < model.blocks; i++) {
    if (i > 0) compressors.push_back(build.trunk_conv(fmt::format("compressors.{}.conv", i - 1), i));
    std::vector<Unit>& units = blocks.emplace_back();
    for (int j = 0; j < model.units; j++) {
      const std::string name = fmt::format("blocks.{}.units.{}", i, j);
      std::optional<NormConv> bottleneck;
      if (model.unit_has_bottleneck(j)) bottleneck = build.norm_conv(name + ".bottleneck");
      units.push_back({std::move(bottleneck), build.norm_conv(name)});
    }
  }
  if (model.reconstruction) {
    ConvLayer compress = build.trunk_conv("reconstruction.compress.conv", model.blocks);
    reconstruction.emplace(Reconstruction{std::move(compress), build.norm_conv("reconstruction")});
  } else {
    combine = build.trunk_conv("combine.conv", model.blocks);
  }
  n_convs = build.n_convs;
  n_norms = build.n_norms;
}

std::vector<const ConvLayer*> Mdcsrn::convs() const {
  std::vector<const ConvLayer*> list(static_cast<size_t>(n_convs));
  const auto add = [&](const ConvLayer& layer) { list[static_cast<size_t>(layer.id)] = &layer; };
  add(stem);
  for (const ConvLayer& compressor : compressors) add(compressor);
  for (const auto& block : blocks)
    for (const Unit& unit : block) {
      if (unit.bottleneck) add(unit.bottleneck->conv);
      add(unit.main.conv);
    }
  if (combine) add(*combine);
  if (reconstruction) add(reconstruction->compress), add(reconstruction->main.conv);
  return list;
}

std::vector<const NormLayer*> Mdcsrn::norms() const {
  std::vector<const NormLayer*> list(static_cast<size_t>(n_norms));
  const auto add = [&](const NormLayer& layer) { list[static_cast<size_t>(layer.id)] = &layer; };
  for (const auto& block : blocks)
    for (const Unit& unit : block) {
      if (unit.bottleneck) add(unit.bottleneck->norm);
      add(unit.main.norm);
    }
  if (reconstruction) add(reconstruction->main.norm);
  return list;
}

bool Mdcsrn::has_running_statistics() const {
  const auto all = norms();
  return std::ranges::all_of(all, [](const NormLayer* norm) { return !norm->running_mean.empty(); });
}

int Mdcsrn::receptive_radius() const {
  return 1 + model.blocks * model.units + (reconstruction ? 1 : 0);
}

}  // namespace sr
