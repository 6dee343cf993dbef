// A batch of patches out of a volume on the device and back into it: kernels/patch.h, for many patches at once.
#pragma once

#include "kernels/cuda/api.h"

namespace sr::cuda {

void gather_patches(const PatchTransfer& transfer, Stream stream);
void merge_patches(const PatchTransfer& transfer, Stream stream);
void add_images(const float* x, float* y, int64_t n, Stream stream);

}  // namespace sr::cuda
