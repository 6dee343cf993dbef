// One allocation for a whole forward pass: which channels of one buffer hold what. A patch allocates nothing.
#pragma once

#include "engine/networks/network.h"

namespace sr {

// Features first, each network's own way (its file in engine/ says how), then the image and the output. Example b4u4,
// k = 12, patch 70: 336 channels of features, the last 48 of them scratch; image 336, output 337; 338 channels of
// 70x70x72 floats = 477 MB.
struct Plan {
  Layout layout;
  Keep keep;
  Channels scratch;  // channels that several layers write, the last of the features; may be none
  Channels image;    // the network's input
  Channels output;
  int n_channels;

  Plan(const Network& network, const Layout& layout, Keep keep = Keep::needed);

  int64_t elements() const { return buffer_elements(layout, n_channels); }
};

}  // namespace sr
