#include "engine/plan.h"

#include <algorithm>

namespace sr {

Plan::Plan(const Mdcsrn& network, const Layout& layout_) : layout(layout_) {
  const ModelDescription& m = network.model;
  block_channels = (2 + m.units) * m.growth;
  const int n_trunk = m.blocks * block_channels;

  int n_scratch = 0;
  for (const Mdcsrn::Unit& unit : network.blocks.front())
    if (unit.bottleneck) n_scratch = std::max(n_scratch, unit.bottleneck->conv.co);
  if (network.reconstruction) n_scratch = std::max(n_scratch, network.reconstruction->compress.co);

  scratch = {n_trunk, n_scratch};
  image = {n_trunk + n_scratch, 1};
  output = {n_trunk + n_scratch + 1, 1};
  n_channels = n_trunk + n_scratch + 2;
}

}  // namespace sr
