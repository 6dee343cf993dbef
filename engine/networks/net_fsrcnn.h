// FSRCNN in three dimensions, without its up-sampling (docs/spec.md section 5): a baseline.
#pragma once

#include <vector>

#include "engine/networks/network.h"

namespace sr {

// Features, example d = 56, s = 12, m = 4: what each layer writes, one behind the other: 0 .. 55, then 12 channels five
// times from 56 on, then 116 .. 171.
class Fsrcnn final : public Network {
 public:
  explicit Fsrcnn(const Weights& weights);

  Need need(Keep) const override;
  void forward(const Plan& plan, PatchOps& op) const override;
  void backward(const Plan& plan, GradientOps& op) const override;
  int receptive_radius() const override { return 2 + model.blocks + 4; }

 private:
  const ConvLayer& extract_;
  std::vector<PReluConv> layers_;  // shrink, mapping 0 .. m-1, expand, reconstruct
};

}  // namespace sr
