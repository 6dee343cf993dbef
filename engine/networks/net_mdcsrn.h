// mDCSRN (docs/spec.md section 2).
#pragma once

#include <optional>
#include <vector>

#include "engine/networks/network.h"

namespace sr {

// Where the trunk after n_blocks blocks lies in the feature buffer, which always holds the block inputs x_2 .. x_n as
// well: the channel of each of its features. Example with-inputs: 0, 1, 2, ...
std::vector<int> trunk_channels(const ModelDescription& model, int n_blocks);

// Features, example b4u4, k = 12: blocks at channels 0, 72, 144, 216, each its input x_i and its new features side by
// side; scratch from 288 on: 4k behind a bottleneck, 8k for the "-r" reconstruction, the larger of the two.
class Mdcsrn final : public Network {
 public:
  // A trunk of new features only becomes the same network with zero weights on the block inputs it leaves out.
  explicit Mdcsrn(const Weights& weights);

  Need need(Keep) const override;
  void forward(const Plan& plan, PatchOps& op) const override;
  void backward(const Plan& plan, GradientOps& op) const override;
  int receptive_radius() const override;

 private:
  // Names as in docs/spec.md section 2.
  struct Unit {
    std::optional<NormConv> bottleneck;
    NormConv main;
  };
  struct Reconstruction {
    const ConvLayer& compress;
    NormConv main;
  };

  const ConvLayer& trunk_conv(const Weights& weights, const std::string& name, int n_blocks);
  Channels trunk(int n_blocks) const { return {0, n_blocks * model.block_channels()}; }

  const ConvLayer* stem_;
  std::vector<std::vector<Unit>> blocks_;
  std::vector<const ConvLayer*> compressors_;  // before blocks 1 .. B-1
  const ConvLayer* combine_ = nullptr;
  std::optional<Reconstruction> reconstruction_;  // instead of combine: "-r"
};

}  // namespace sr
