#include "engine/networks/plan.h"

namespace sr {

Plan::Plan(const Network& network, const Layout& layout_, Keep keep_) : layout(layout_), keep(keep_) {
  const Network::Need need = network.need(keep);
  scratch = need.scratch;
  image = {need.n_channels, 1};
  output = {need.n_channels + 1, 1};
  n_channels = need.n_channels + 2;
}

}  // namespace sr
