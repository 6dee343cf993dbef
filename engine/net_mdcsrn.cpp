#include "engine/net_mdcsrn.h"

#include <tuple>

namespace sr {

// Shapes behind the lines are channels; every one is (d, h, w) of the patch. Example: b4u4, k = 12.
void mdcsrn_forward(const Mdcsrn& net, const Plan& plan, PatchOps& op) {
  const auto& [B, U, k] = std::tuple{net.model.blocks, net.model.units, net.model.growth};

  for (int i = 0; i < B; i++) {
    const int block = plan.block(i).first;
    const Channels x_i = {block, 2 * k};
    if (i == 0)
      op.conv3d(plan.image, net.stem, x_i);  // 1 -> 24
    else
      op.conv3d(plan.trunk(i), net.compressors[static_cast<size_t>(i - 1)], x_i);  // 72 i -> 24

    for (int j = 0; j < U; j++) {
      const Mdcsrn::Unit& unit = net.blocks[static_cast<size_t>(i)][static_cast<size_t>(j)];
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

  if (net.reconstruction) {
    const Channels narrow = {plan.scratch.first, 8 * k};
    op.conv3d(plan.trunk(B), net.reconstruction->compress, narrow);     // 288 -> 96
    op.norm_elu_conv3d(narrow, net.reconstruction->main, plan.output);  // 96 -> 1
  } else {
    op.conv3d(plan.trunk(B), *net.combine, plan.output);  // 288 -> 1
  }
  if (net.model.residual) op.add(plan.image, plan.output);
}

// mdcsrn_forward line by line, from the last to the first. All layers after a feature have added to its gradient when
// the layer that wrote it comes.
void mdcsrn_backward(const Mdcsrn& net, const Plan& plan, GradientOps& op) {
  const auto& [B, U, k] = std::tuple{net.model.blocks, net.model.units, net.model.growth};

  if (net.reconstruction) {
    const Channels narrow = {plan.scratch.first, 8 * k};
    op.norm_elu_conv3d(narrow, net.reconstruction->main, plan.output, Gradients::set);
    op.conv3d(plan.trunk(B), net.reconstruction->compress, narrow, Gradients::set);
  } else {
    op.conv3d(plan.trunk(B), *net.combine, plan.output, Gradients::set);
  }

  for (int i = B - 1; i >= 0; i--) {
    const int block = plan.block(i).first;
    const Channels x_i = {block, 2 * k};
    for (int j = U - 1; j >= 0; j--) {
      const Mdcsrn::Unit& unit = net.blocks[static_cast<size_t>(i)][static_cast<size_t>(j)];
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
      op.stem(plan.image, net.stem, x_i);
    else
      op.conv3d(plan.trunk(i), net.compressors[static_cast<size_t>(i - 1)], x_i, Gradients::add);
  }
}

}  // namespace sr
