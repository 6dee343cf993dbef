// One allocation for a whole forward pass: which channels of one buffer hold what. A patch allocates nothing.
#pragma once

#include "engine/network.h"

namespace sr {

// Example b4u4, k = 12, patch 70: blocks at channels 0, 72, 144, 216; bottleneck scratch 288 .. 335; image 336,
// output 337; 338 channels of 70x70x72 floats = 477 MB.
struct Plan {
  Layout layout;
  int block_channels;  // (2 + U) k: a block's input x_i and its new features, side by side
  Channels scratch;    // 4k behind a bottleneck, 8k for the "-r" reconstruction; the larger of the two, or none
  Channels image;      // the network's input
  Channels output;
  int n_channels;

  Plan(const Mdcsrn& network, const Layout& layout);

  Channels block(int i) const { return {i * block_channels, block_channels}; }
  Channels trunk(int n_blocks) const { return {0, n_blocks * block_channels}; }
  int64_t elements() const { return buffer_elements(layout, n_channels); }
};

}  // namespace sr
