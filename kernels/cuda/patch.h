// A batch of patches out of a volume on the device and back into it: kernels/patch.h, for many patches at once.
#pragma once

#include "kernels/cuda/types.h"
#include "kernels/patch.h"

namespace sr::cuda {

// Volumes are dense [z][y][x] float32 device memory; origins[p] of each patch is device memory as well.
struct PatchTransfer {
  float* volume;
  Size3 volume_size;
  const Origin* origins;
  int n_patches;
  Size3 patch;
  float* image;  // [p][z][y][x]
  Intensity intensity;
  Pad pad;     // of gather
  int margin;  // of merge
};

Result gather_patches(const PatchTransfer& transfer, Stream stream);
Result merge_patches(const PatchTransfer& transfer, Stream stream);
Result add_images(const float* x, float* y, int64_t n, Stream stream);  // y += x

}  // namespace sr::cuda
