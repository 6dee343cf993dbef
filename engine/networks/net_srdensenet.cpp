#include "engine/networks/net_srdensenet.h"

#include <fmt/core.h>

#include "engine/networks/plan.h"

namespace sr {

SrDenseNet::SrDenseNet(const Weights& weights) : Network(weights), stem_(conv(weights, "stem.conv")) {
  for (int i = 0; i < model.blocks; i++)
    for (int j = 0; j < model.units; j++)
      units_.push_back(&conv(weights, fmt::format("blocks.{}.units.{}.conv", i, j)));
  compress_ = &conv(weights, "compress.conv");
  tail_[0] = &conv(weights, "tail.0.conv");
  tail_[1] = &conv(weights, "tail.1.conv");
  tail_[2] = &conv(weights, "reconstruct.conv");
}

Channels SrDenseNet::tail(int i, Keep keep) const {
  const int n = 8 * model.growth, run = keep == Keep::all ? i : i % 2;
  return {trunk().count + run * n, n};
}

Network::Need SrDenseNet::need(Keep keep) const {
  const int n_tail = (keep == Keep::all ? 3 : 2) * 8 * model.growth;
  return {trunk().count + n_tail, {trunk().count, n_tail}};
}

// Unit j of block i, counted from 0, reads what block i - 1 wrote (block 0: the stem) and what the j units before it
// did, and appends k channels.
SrDenseNet::Unit SrDenseNet::unit(int i, int j) const {
  const int k = model.growth, block = (2 + i * model.units) * k;
  const int before = i == 0 ? 2 * k : model.units * k;
  return {{block - before, before + j * k}, {block + j * k, k}};
}

void SrDenseNet::forward(const Plan& plan, PatchOps& op) const {
  const Channels c = tail(0, plan.keep), d = tail(1, plan.keep), e = tail(2, plan.keep);

  op.conv3d(plan.image, stem_, {0, 2 * model.growth});  // 1 -> 24
  for (int i = 0; i < model.blocks; i++)
    for (int j = 0; j < model.units; j++) {
      const auto [x, y] = unit(i, j);
      op.elu_conv3d(x, conv_of(i, j), y);  // 24 .. 60, then 48 .. 84 -> 12
    }
  op.conv3d(trunk(), *compress_, c);         // 1x1x1, 408 -> 96
  op.conv3d(c, *tail_[0], d);                // 96 -> 96
  op.elu_conv3d(d, *tail_[1], e);            // 96 -> 96
  op.elu_conv3d(e, *tail_[2], plan.output);  // 96 -> 1
  if (model.residual) op.add(plan.image, plan.output);
}

void SrDenseNet::backward(const Plan& plan, GradientOps& op) const {
  const Channels c = tail(0, plan.keep), d = tail(1, plan.keep), e = tail(2, plan.keep);

  op.elu_conv3d(e, *tail_[2], plan.output, Gradients::set);
  op.elu_conv3d(d, *tail_[1], e, Gradients::set);
  op.conv3d(c, *tail_[0], d, Gradients::set);
  op.conv3d(trunk(), *compress_, c, Gradients::set);
  for (int i = model.blocks - 1; i >= 0; i--)
    for (int j = model.units - 1; j >= 0; j--) {
      const auto [x, y] = unit(i, j);
      op.elu_conv3d(x, conv_of(i, j), y, Gradients::add);
    }
  op.stem(plan.image, stem_, {0, 2 * model.growth});
}

std::unique_ptr<Network> make_srdensenet(const Weights& weights) {
  return std::make_unique<SrDenseNet>(weights);
}

}  // namespace sr
