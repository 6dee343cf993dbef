// What the baselines do to features outside of convolutions, on channels of one batch of feature maps:
// kernels/pointwise.h has the formulas, kernels/cuda/types.h the layouts.
#pragma once

#include "kernels/cuda/types.h"

namespace sr::cuda {

Result prelu(Precision precision, const FeatureMaps& maps, Channels x, const float* slope, Channels y, Stream stream);
// norm: scale and shift alone.
Result norm_add(Precision precision, const FeatureMaps& maps, Channels x, const DevicePrologue& norm, Channels skip,
                Channels y, Stream stream);

// The ways back, float32: from g's channels y to x, of norm_add to skip as well. partial_slopes and partial_sums as in
// Conv3dBackwardData (kernels/cuda/conv3d.h), of pointwise_parts() parts.
int pointwise_parts(Size3 patch);
Result prelu_backward(const FeatureMaps& f, const FeatureMaps& g, Channels x, const float* slope, Channels y,
                      bool accumulate, float* partial_slopes, Stream stream);
Result norm_add_backward(const FeatureMaps& f, const FeatureMaps& g, Channels x, const float* scale, Channels skip,
                         Channels y, bool accumulate, float* partial_sums, Stream stream);

}  // namespace sr::cuda
