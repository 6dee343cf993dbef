// SRResNet in three dimensions, without its up-sampling (docs/spec.md section 5): a baseline.
#pragma once

#include <vector>

#include "engine/networks/network.h"

namespace sr {

// Features, f = 64 channels each: the head's result x_0, the trunk x, and two that every block writes anew. Where all
// is kept, each block has channels of its own.
class SrResNet final : public Network {
 public:
  explicit SrResNet(const Weights& weights);

  Need need(Keep keep) const override;
  void forward(const Plan& plan, PatchOps& op) const override;
  void backward(const Plan& plan, GradientOps& op) const override;
  int receptive_radius() const override { return 4 + 2 * model.blocks + 3 + 4; }

 private:
  struct Block {
    const ConvLayer& conv;
    NormPReluConv inner;
    const NormLayer& norm;
  };
  // Where the features of a plan lie.
  struct Places {
    int f, n_blocks;
    Keep keep;
    Channels run(int i) const { return {i * f, f}; }
    Channels x0() const { return run(0); }
    Channels x(int block) const { return block == 0 ? x0() : keep == Keep::all ? run(3 * block) : run(1); }
    Channels t(int block) const { return keep == Keep::all ? run(3 * block + 1) : run(2); }
    Channels u(int block) const { return keep == Keep::all ? run(3 * block + 2) : run(3); }
    Channels trunk() const { return x(n_blocks); }
    // Behind the blocks: the trunk's convolution, its sum with x_0, and what the tail and (kept) the head write.
    Channels joined() const { return keep == Keep::all ? u(n_blocks) : run(1); }
    Channels tail(int i) const { return keep == Keep::all ? run(3 * n_blocks + 3 + i) : i == 0 ? run(3) : run(2); }
    Channels head() const { return keep == Keep::all ? run(3 * n_blocks + 5) : run(2); }
    int n_runs() const { return keep == Keep::all ? 3 * n_blocks + 6 : 4; }
  };
  Places places(Keep keep) const { return {model.features, model.blocks, keep}; }

  const ConvLayer& head_;
  const PReluLayer& head_prelu_;
  std::vector<Block> blocks_;
  const ConvLayer* trunk_;
  const NormLayer* trunk_norm_;
  const ConvLayer* tail_;
  std::vector<PReluConv> ends_;  // tail.1, reconstruct
};

}  // namespace sr
