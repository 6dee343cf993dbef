// What the kernels of weights' gradients share: their arguments, and how a batch is shared out among blocks.
#pragma once

#include "kernels/cuda/conv3d.h"
#include "kernels/cuda/quads.cuh"

namespace sr::cuda {

// More blocks than any GPU runs at once, few enough for their sums to fit: of each, partial[share][co][ci][tap] is
// left.
constexpr int kShares = 128;

struct GradientArguments {
  FeatureMaps x, dy;
  int x_first, dy_first;
  const float *x_image, *dy_image;  // instead of maps: one channel, the others are zero
  Size3 size;
  int n_patches, ci, co;
  DevicePrologue prologue;
  float* partial;
};

inline GradientArguments arguments_of(const Conv3dBackwardWeights& b) {
  return {.x = b.x.maps,
          .dy = b.dy.maps,
          .x_first = b.x.channels.first,
          .dy_first = b.dy.channels.first,
          .x_image = b.x.image,
          .dy_image = b.dy.image,
          .size = b.patch,
          .n_patches = b.n_patches,
          .ci = b.shape.ci,
          .co = b.shape.co,
          .prologue = b.prologue,
          .partial = b.partial};
}

// Shares of a batch of n_steps: the grid's x.
inline int shares_of(int n_steps) {
  return n_steps < kShares ? n_steps : kShares;
}

// A block's steps: first .. last - 1.
struct Share {
  int index, first, last;
};
__device__ __forceinline__ Share share_of_block(int n_steps) {
  const int share = static_cast<int>(blockIdx.x), n_shares = static_cast<int>(gridDim.x);
  return {share, static_cast<int>(int64_t{n_steps} * share / n_shares),
          static_cast<int>(int64_t{n_steps} * (share + 1) / n_shares)};
}

}  // namespace sr::cuda
