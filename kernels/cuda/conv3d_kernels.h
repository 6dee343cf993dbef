// The kernels behind kernels/cuda/conv3d.h, one file each; kernels/cuda/conv3d.cu picks one by shape and precision.
// Formula: kernels/conv3d.h. Layouts: kernels/cuda/types.h.
#pragma once

#include "kernels/cuda/conv3d.h"

namespace sr::cuda {

// 3x3x3, ci a multiple of 4, co a multiple of 4 or 1; 1 only with f16 and bf16.
int conv3x3x3_direct_parts(Size3 patch);
void conv3x3x3_direct_pack(const ConvWeights& conv, float* packed);
Result conv3x3x3_direct_forward(const Conv3dForward& conv, Stream stream);
Result conv3x3x3_direct_backward(const Conv3dBackwardData& conv, Stream stream);

// The first layer: 3x3x3, one channel in (an image), co a multiple of 4.
int conv3x3x3_stem_parts(Size3 patch);
void conv3x3x3_stem_pack(const ConvWeights& conv, float* packed);  // 27 co floats
Result conv3x3x3_stem_forward(const Conv3dForward& conv, Stream stream);
Result conv3x3x3_stem_backward(const Conv3dBackwardData& conv, Stream stream);  // of the transposed shape, as all are

// 1x1x1: compressors and bottlenecks, co a multiple of 4, and the combination, co = 1 into an image; the latter only
// with f16 and bf16.
int conv1x1x1_parts(const ConvWeights& shape, Size3 patch);
void conv1x1x1_pack(const ConvWeights& conv, float* packed);  // ci co floats
Result conv1x1x1_forward(const Conv3dForward& conv, Stream stream);
Result conv1x1x1_backward(const Conv3dBackwardData& conv, Stream stream);  // the gradient may be an image

// 3x3x3 on tensor cores: f16, bf16 or tf32, ci and co multiples of 4.
int conv3x3x3_tensor_parts(Size3 patch);
int64_t conv3x3x3_tensor_packed_bytes(const ConvWeights& shape, Precision precision);
void conv3x3x3_tensor_pack(const ConvWeights& conv, Precision precision, void* packed);
Result conv3x3x3_tensor_forward(const Conv3dForward& conv, Stream stream);

// 1x1x1 on tensor cores: f16, bf16 or tf32, ci and co multiples of 4.
int conv1x1x1_tensor_parts(const ConvWeights& shape, Precision precision, Size3 patch);
int64_t conv1x1x1_tensor_packed_bytes(const ConvWeights& shape, Precision precision);
void conv1x1x1_tensor_pack(const ConvWeights& conv, Precision precision, void* packed);
Result conv1x1x1_tensor_forward(const Conv3dForward& conv, Stream stream);

// 5x5x5 and 9x9x9, of one channel in or one out, the others a multiple of 4; an image in and an image out are float32
// in every precision.
int conv3d_wide_parts(Size3 patch);
void conv3d_wide_pack(const ConvWeights& conv, float* packed);  // size^3 ci co floats
Result conv3d_wide_forward(const Conv3dForward& conv, Stream stream);
Result conv3d_wide_backward(const Conv3dBackwardData& conv, Stream stream);  // of an image of gradients

// Gradients of weights, float32. x: channels, a multiple of 4, or with 3x3x3 and more an image; dy: channels, a
// multiple of 4, or an image; of 5x5x5 and 9x9x9 one of them an image. partial[part][co][ci][tap], *_parts() parts.
int conv3x3x3_gradient_parts(Size3 patch, int n_patches);
Result conv3x3x3_gradient(const Conv3dBackwardWeights& conv, Stream stream);
int conv1x1x1_gradient_parts(Size3 patch, int n_patches);
Result conv1x1x1_gradient(const Conv3dBackwardWeights& conv, Stream stream);
int conv3d_wide_gradient_parts(Size3 patch, int n_patches);
Result conv3d_wide_gradient(const Conv3dBackwardWeights& conv, Stream stream);

}  // namespace sr::cuda
