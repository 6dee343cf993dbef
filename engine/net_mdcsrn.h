// The forward pass of mDCSRN on one patch, in terms of the operations a backend offers.
#pragma once

#include "engine/network.h"
#include "engine/plan.h"

namespace sr {

// The operations on one patch in flight. x and y are channels of its buffer; every convolution also gathers the sums
// of the channels it writes, which is where a later norm_elu_conv3d finds the statistics of its input.
class PatchOps {
 public:
  virtual ~PatchOps() = default;
  // y = conv(x)
  virtual void conv3d(Channels x, const ConvLayer& conv, Channels y) = 0;
  // y = conv(elu(batch_norm(x)))
  virtual void norm_elu_conv3d(Channels x, const NormConv& layer, Channels y) = 0;
  // y += x
  virtual void add(Channels x, Channels y) = 0;
};

// plan.image -> plan.output.
void mdcsrn_forward(const Mdcsrn& net, const Plan& plan, PatchOps& op);

// Whether gradients are the first to arrive at their channels, or come on top of what later layers have left there.
enum class Gradients { set, add };

// The way back through PatchOps' operations: from the gradients of y to those of x and of the layer's parameters.
class GradientOps {
 public:
  virtual ~GradientOps() = default;
  virtual void conv3d(Channels x, const ConvLayer& conv, Channels y, Gradients x_gradients) = 0;
  virtual void norm_elu_conv3d(Channels x, const NormConv& layer, Channels y, Gradients x_gradients) = 0;
  // The first layer: nobody asks for the gradient of the image.
  virtual void stem(Channels image, const ConvLayer& conv, Channels y) = 0;
  // y = conv(elu(batch_norm(x))) once more: other units have used its channels since.
  virtual void recompute(Channels x, const NormConv& layer, Channels y) = 0;
};

// plan.output's gradient -> the gradients of all parameters. Channels hold what mdcsrn_forward left there; gradients
// have the same plan.
void mdcsrn_backward(const Mdcsrn& net, const Plan& plan, GradientOps& op);

}  // namespace sr
