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

}  // namespace sr
