// The critic's convolutions on a GPU: kernels/strided_conv3d.h in float32, kernels/cuda/critic_api.h has the arguments.
#pragma once

#include "kernels/cuda/critic_api.h"

namespace sr::cuda {

void strided_conv3d_forward(const StridedConv& conv, int n, const float* weight, const float* x, float* y,
                            Stream stream);
void strided_conv3d_backward_data(const StridedConv& conv, int n, const float* weight, const float* dy, float* dx,
                                  Stream stream);
int64_t strided_conv3d_partial(const StridedConv& conv, int n);
void strided_conv3d_backward_weights(const StridedConv& conv, int n, const float* x, const float* dy, float* partial,
                                     float* dweight, Stream stream);

}  // namespace sr::cuda
