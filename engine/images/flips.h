// Test-time flips: a network that sees the mirrored scan gives another answer; the mean of the answers is better than
// one of them, and where they differ the network is guessing.
#pragma once

#include <functional>

#include "engine/base/volume.h"

namespace sr {

// The volume mirrored along i, j, k where bit 0, 1, 2 of `axes` is set.
Volume flip(const Volume& volume, int axes);

struct MeanAndSd {
  Volume mean;
  Volume sd;  // of the n answers, n - 1 in the denominator; empty for n = 1
};

// Of the volumes answer(0) .. answer(n - 1), one size, asked for in this order. Holds three volumes at a time.
MeanAndSd mean_and_sd(int n, const std::function<Volume(int which)>& answer);

}  // namespace sr
