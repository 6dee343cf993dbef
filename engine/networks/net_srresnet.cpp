#include "engine/networks/net_srresnet.h"

#include <fmt/core.h>

#include "engine/networks/plan.h"

namespace sr {

SrResNet::SrResNet(const Weights& weights)
    : Network(weights), head_(conv(weights, "head.conv")), head_prelu_(prelu(weights, "head.prelu")) {
  for (int i = 0; i < model.blocks; i++) {
    const std::string name = fmt::format("blocks.{}", i);
    const ConvLayer& first = conv(weights, name + ".0.conv");
    const NormLayer& norm_of_first = norm(weights, name + ".0.norm");
    const PReluConv second = prelu_conv(weights, name + ".1");
    blocks_.push_back({first, {norm_of_first, second.prelu, second.conv}, norm(weights, name + ".1.norm")});
  }
  trunk_ = &conv(weights, "trunk.conv");
  trunk_norm_ = &norm(weights, "trunk.norm");
  tail_ = &conv(weights, "tail.0.conv");
  ends_.push_back(prelu_conv(weights, "tail.1"));
  ends_.push_back(prelu_conv(weights, "reconstruct"));
}

Network::Need SrResNet::need(Keep keep) const {
  const Places at = places(keep);
  const int n = at.n_runs() * at.f;
  return {n, keep == Keep::all ? Channels{n, 0} : Channels{2 * at.f, 2 * at.f}};
}

void SrResNet::forward(const Plan& plan, PatchOps& op) const {
  const Places at = places(plan.keep);
  const int B = model.blocks;

  op.conv3d(plan.image, head_, at.head());  // 9x9x9, 1 -> 64
  op.prelu(at.head(), head_prelu_, at.x0());
  for (int i = 0; i < B; i++) {
    const Block& block = blocks_[i];
    op.conv3d(at.x(i), block.conv, at.t(i));
    op.norm_prelu_conv3d(at.t(i), block.inner, at.u(i));
    op.norm_add(at.u(i), block.norm, at.x(i), at.x(i + 1));
  }
  op.conv3d(at.trunk(), *trunk_, at.t(B));
  op.norm_add(at.t(B), *trunk_norm_, at.x0(), at.joined());
  op.conv3d(at.joined(), *tail_, at.tail(0));
  op.prelu_conv3d(at.tail(0), ends_[0], at.tail(1));
  op.prelu_conv3d(at.tail(1), ends_[1], plan.output);  // 9x9x9, 64 -> 1
  if (model.residual) op.add_input(plan.image, plan.output);
}

// forward line by line, from the last to the first. x_i is read by its block's convolution and by the sum behind it,
// x_0 by the last sum as well: the sum's gradient is there first.
void SrResNet::backward(const Plan& plan, GradientOps& op) const {
  const Places at = places(plan.keep);
  const int B = model.blocks;

  op.prelu_conv3d(at.tail(1), ends_[1], plan.output, Gradients::set);
  op.prelu_conv3d(at.tail(0), ends_[0], at.tail(1), Gradients::set);
  op.conv3d(at.joined(), *tail_, at.tail(0), Gradients::set);
  op.norm_add(at.t(B), *trunk_norm_, at.x0(), at.joined(), Gradients::set);
  op.conv3d(at.trunk(), *trunk_, at.t(B), Gradients::set);
  for (int i = B - 1; i >= 0; i--) {
    const Block& block = blocks_[i];
    op.norm_add(at.u(i), block.norm, at.x(i), at.x(i + 1), i == 0 ? Gradients::add : Gradients::set);
    op.norm_prelu_conv3d(at.t(i), block.inner, at.u(i), Gradients::set);
    op.conv3d(at.x(i), block.conv, at.t(i), Gradients::add);
  }
  op.prelu(at.head(), head_prelu_, at.x0(), Gradients::set);
  op.conv3d(plan.image, head_, at.head(), Gradients::none);
}

std::unique_ptr<Network> make_srresnet(const Weights& weights) {
  return std::make_unique<SrResNet>(weights);
}

}  // namespace sr
