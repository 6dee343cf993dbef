// What the baselines do to features outside of convolutions: kernels/pointwise.h has the formulas, kernels/cuda/api.h
// the layouts.
#pragma once

#include "kernels/cuda/types.h"

namespace sr::cuda {

void prelu(Precision precision, const FeatureMaps& maps, Channels x, const float* slope, Channels y, Stream stream);
void norm_add(Precision precision, const FeatureMaps& maps, Channels x, const DevicePrologue& norm, Channels skip,
              Channels y, Stream stream);

// The ways back, as kernels/cuda/training_api.h has them.
int pointwise_parts(Size3 patch);
void prelu_backward(const FeatureMaps& f, const FeatureMaps& g, Channels x, const float* slope, Channels y,
                    bool accumulate, float* partial_slopes, Stream stream);
void norm_add_backward(const FeatureMaps& f, const FeatureMaps& g, Channels x, const float* scale, Channels skip,
                       Channels y, bool accumulate, float* partial_sums, Stream stream);

}  // namespace sr::cuda
