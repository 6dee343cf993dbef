#include "engine/networks/net_fsrcnn.h"

#include <fmt/core.h>

#include "engine/networks/plan.h"

namespace sr {

Fsrcnn::Fsrcnn(const Weights& weights) : Network(weights), extract_(conv(weights, "extract.conv")) {
  layers_.push_back(prelu_conv(weights, "shrink"));
  for (int i = 0; i < model.blocks; i++) layers_.push_back(prelu_conv(weights, fmt::format("mapping.{}", i)));
  layers_.push_back(prelu_conv(weights, "expand"));
  layers_.push_back(prelu_conv(weights, "reconstruct"));
}

Network::Need Fsrcnn::need(Keep) const {
  const int n = 2 * model.features + (1 + model.blocks) * model.shrink;
  return {n, {n, 0}};
}

void Fsrcnn::forward(const Plan& plan, PatchOps& op) const {
  Channels x = {0, model.features};
  op.conv3d(plan.image, extract_, x);       // 5x5x5, 1 -> 56
  for (const PReluConv& layer : layers_) {  // 1x1x1, 56 -> 12; 3x3x3, 12 -> 12; 1x1x1, 12 -> 56; 9x9x9, 56 -> 1
    const Channels y = &layer == &layers_.back() ? plan.output : Channels{x.first + x.count, layer.conv.co};
    op.prelu_conv3d(x, layer, y);
    x = y;
  }
  if (model.residual) op.add(plan.image, plan.output);
}

void Fsrcnn::backward(const Plan& plan, GradientOps& op) const {
  Channels y = plan.output;
  int end = need(plan.keep).n_channels;
  for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) {
    const Channels x = {end - layer->conv.ci, layer->conv.ci};
    op.prelu_conv3d(x, *layer, y, Gradients::set);
    y = x;
    end = x.first;
  }
  op.stem(plan.image, extract_, y);
}

std::unique_ptr<Network> make_fsrcnn(const Weights& weights) {
  return std::make_unique<Fsrcnn>(weights);
}

}  // namespace sr
