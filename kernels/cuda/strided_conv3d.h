// The critic's convolutions on a GPU: kernels/strided_conv3d.h on device memory, in float32. Sums are taken in an order
// that depends on shapes alone.
#pragma once

#include "kernels/cuda/types.h"
#include "kernels/strided_conv3d.h"

namespace sr::cuda {

Result strided_conv3d_forward(const StridedConv& conv, int n, const float* weight, const float* x, float* y,
                              Stream stream);
Result strided_conv3d_backward_data(const StridedConv& conv, int n, const float* weight, const float* dy, float* dx,
                                    Stream stream);
// partial: room for strided_conv3d_partial(conv, n) floats. dweight is added to.
int64_t strided_conv3d_partial(const StridedConv& conv, int n);
Result strided_conv3d_backward_weights(const StridedConv& conv, int n, const float* x, const float* dy, float* partial,
                                       float* dweight, Stream stream);

}  // namespace sr::cuda
