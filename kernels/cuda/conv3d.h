// The convolutions of a layer on a GPU, forward and backward. Which kernel makes it is chosen by shape and precision
// (kernels/cuda/conv3d.cu); the kernels lie in a file each (kernels/cuda/conv3d_kernels.h). Formulas: kernels/conv3d.h
// and kernels/conv3d_backward.h. Layouts: kernels/cuda/types.h.
#pragma once

#include "kernels/cuda/types.h"

namespace sr::cuda {

// y = conv(prologue(x)) + bias, and the sums of y's channels: partial_sums[((p * co + c) * n_parts + part) * 2 + {0,
// 1}] receives sum and sum of squares of the voxels of each part of the patch, n_parts = conv3d_parts(); null: nobody
// asks.
struct Conv3dForward {
  Precision precision;
  ConvWeights shape;           // ci, co, size; its pointers are not used
  const void* packed_weights;  // device memory, packed by conv3d_pack
  const float* bias;           // device memory [co], or null
  Operand x, y;
  DevicePrologue prologue;
  float* partial_sums;
};

// Gradients of a convolution's inputs: da = conv(dy, transposed weights), then, in the epilogue, dt = da act'(t) and
// g[x] += scale dt (or =). partial_sums as in Conv3dForward, of dt and dt x instead of y and y^2; partial_slopes[(p *
// n_parts + part) * x.count + c] receives sums of da t where t < 0; null: nobody asks. Features and gradients are
// float32 and lie in two FeatureMaps of one shape.
struct Conv3dBackwardData {
  ConvWeights shape;           // of the transposed convolution: ci channels of y to co channels of x
  const void* packed_weights;  // transposed_weights(), packed by conv3d_pack
  Operand dy;                  // channels y of the gradients, or an image of gradients
  FeatureMaps f, g;            // features, gradients
  Channels x;
  DevicePrologue prologue;  // of the forward pass
  bool accumulate;
  float* partial_sums;
  float* partial_slopes;
};

// Gradients of a convolution's weights, over all patches: partial[part][co][ci][tap], n_parts =
// backward_weights_parts().
struct Conv3dBackwardWeights {
  ConvWeights shape;  // of the forward convolution; its pointers are not used
  Size3 patch;
  int n_patches;
  Operand x;  // features, or the image
  DevicePrologue prologue;
  Operand dy;  // gradients, or an image of gradients
  float* partial;
};

// Null, or why the convolution is not offered on the device in use ("its channel counts are no multiples of 4", "bf16
// needs compute capability 8.0 or newer").
const char* supports(const ConvWeights& shape, Precision precision);

int64_t conv3d_packed_bytes(const ConvWeights& shape, Precision precision);
void conv3d_pack(const ConvWeights& conv, Precision precision, void* host_packed);
int conv3d_parts(const ConvWeights& shape, Precision precision, Size3 patch);
Result conv3d_forward(const Conv3dForward& conv, Stream stream);

Result conv3d_backward_data(const Conv3dBackwardData& conv, Stream stream);
int backward_weights_parts(const ConvWeights& shape, Size3 patch, int n_patches);
Result conv3d_backward_weights(const Conv3dBackwardWeights& conv, Stream stream);

}  // namespace sr::cuda
