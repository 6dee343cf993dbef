// SRDenseNet in three dimensions, without its up-sampling (docs/spec.md section 5): a baseline.
#pragma once

#include <vector>

#include "engine/networks/network.h"

namespace sr {

// Features, example of 8 blocks of 4 units, k = 12: the stem at 0 .. 23, then what the units write, 48 channels a
// block, so that a unit's input (the block before and the units before it) and the trunk of them all lie side by side;
// from 408 on 96 channels twice for the tail, or three times where all is kept.
class SrDenseNet final : public Network {
 public:
  explicit SrDenseNet(const Weights& weights);

  Need need(Keep keep) const override;
  void forward(const Plan& plan, PatchOps& op) const override;
  void backward(const Plan& plan, GradientOps& op) const override;
  int receptive_radius() const override { return 1 + model.blocks * model.units + 3; }

 private:
  Channels trunk() const { return {0, (2 + model.blocks * model.units) * model.growth}; }
  Channels tail(int i, Keep keep) const;
  struct Unit {
    Channels reads, writes;
  };
  Unit unit(int i, int j) const;
  const ConvLayer& conv_of(int i, int j) const { return *units_[i * model.units + j]; }

  const ConvLayer& stem_;
  std::vector<const ConvLayer*> units_;
  const ConvLayer* compress_;
  const ConvLayer* tail_[3];  // the last one is the reconstruction
};

}  // namespace sr
