// What the gradients of weights add to conv3d_impl.h.
#pragma once

#include "kernels/conv3d_backward.h"
#include "kernels/conv3d_impl.h"

namespace sr {

// Beside the ConvJob that says what was read and how: the gradients of what was written.
struct GradientJob {
  Features<float> g;
};

// How the patches of a layer are cut into items, and an item's scratch. conv: n_points, size and channels of the layer.
ConvPlan plan_gradient(const Layout& layout, const PackedConv::Impl& conv);

}  // namespace sr
