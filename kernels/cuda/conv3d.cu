// Which kernel makes a layer, and its weights packed for it.
#include "kernels/cuda/conv3d.h"

#include "kernels/cuda/conv3d_kernels.h"
#include "kernels/cuda/portability.h"

namespace sr::cuda {
namespace {

// A layer's kernel. The first layer and those of one output have nothing for tensor cores to do, whatever is stored.
enum class Kernel { stem, large, direct, pointwise, tensor, pointwise_tensor };

Kernel kernel_of(const ConvWeights& s, Precision precision) {
  if (s.size > 3) return Kernel::large;
  if (s.ci == 1 && s.size == 3) return Kernel::stem;
  const bool tensor = precision != Precision::fp32 && s.co > 1;
  if (s.size == 3) return tensor ? Kernel::tensor : Kernel::direct;
  return tensor ? Kernel::pointwise_tensor : Kernel::pointwise;
}

}  // namespace

const char* supports(const ConvWeights& s, Precision precision) {
  const bool large = s.size == 5 || s.size == 9;
  if (s.size != 1 && s.size != 3 && !large) return "a convolution is none of 1x1x1, 3x3x3, 5x5x5 and 9x9x9";
  if (s.ci != 1 && s.ci % 4 != 0) return "its channel counts are no multiples of 4";
  if (s.co != 1 && s.co % 4 != 0) return "its channel counts are no multiples of 4";
  if (s.ci == 1 && (s.size == 1 || s.co == 1)) return "a layer with one channel in is 1x1x1 or has one channel out";
  if (large && s.ci > 1 && s.co > 1) return "a 5x5x5 or 9x9x9 layer has neither one channel in nor one out";
  if (precision == Precision::fp32) return nullptr;

  int device = 0, major = 0, minor = 0;
  if (cudaGetDevice(&device) != cudaSuccess ||
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess) {
    cudaGetLastError();  // or the next call would report it again
    return "there is no GPU to ask for its tensor cores";
  }
  const int capability = 10 * major + minor;
  if (precision == Precision::f16 && capability < 75) return "f16 needs compute capability 7.5, a GPU of 2018 or newer";
  if (precision == Precision::bf16 && capability < 80)
    return "bf16 needs compute capability 8.0 or newer; f16 takes 7.5";
  if (precision == Precision::tf32 && capability < 80)
    return "tf32 needs compute capability 8.0 or newer; f16 takes 7.5";
  return nullptr;
}

int64_t conv3d_packed_bytes(const ConvWeights& s, Precision precision) {
  switch (kernel_of(s, precision)) {
    case Kernel::tensor:
      return conv3x3x3_tensor_packed_bytes(s, precision);
    case Kernel::pointwise_tensor:
      return conv1x1x1_tensor_packed_bytes(s, precision);
    default:
      return int64_t{s.size} * s.size * s.size * s.ci * s.co * int64_t{sizeof(float)};
  }
}

void conv3d_pack(const ConvWeights& conv, Precision precision, void* packed) {
  switch (kernel_of(conv, precision)) {
    case Kernel::stem:
      return conv3x3x3_stem_pack(conv, static_cast<float*>(packed));
    case Kernel::large:
      return conv3d_wide_pack(conv, static_cast<float*>(packed));
    case Kernel::direct:
      return conv3x3x3_direct_pack(conv, static_cast<float*>(packed));
    case Kernel::pointwise:
      return conv1x1x1_pack(conv, static_cast<float*>(packed));
    case Kernel::tensor:
      return conv3x3x3_tensor_pack(conv, precision, packed);
    case Kernel::pointwise_tensor:
      return conv1x1x1_tensor_pack(conv, precision, packed);
  }
}

int conv3d_parts(const ConvWeights& s, Precision precision, Size3 patch) {
  switch (kernel_of(s, precision)) {
    case Kernel::stem:
      return conv3x3x3_stem_parts(patch);
    case Kernel::large:
      return conv3d_wide_parts(patch);
    case Kernel::direct:
      return conv3x3x3_direct_parts(patch);
    case Kernel::pointwise:
      return conv1x1x1_parts(s, patch);
    case Kernel::tensor:
      return conv3x3x3_tensor_parts(patch);
    default:
      return conv1x1x1_tensor_parts(s, precision, patch);
  }
}

Result conv3d_forward(const Conv3dForward& conv, Stream stream) {
  switch (kernel_of(conv.shape, conv.precision)) {
    case Kernel::stem:
      return conv3x3x3_stem_forward(conv, stream);
    case Kernel::large:
      return conv3d_wide_forward(conv, stream);
    case Kernel::direct:
      return conv3x3x3_direct_forward(conv, stream);
    case Kernel::pointwise:
      return conv1x1x1_forward(conv, stream);
    case Kernel::tensor:
      return conv3x3x3_tensor_forward(conv, stream);
    default:
      return conv1x1x1_tensor_forward(conv, stream);
  }
}

Result conv3d_backward_data(const Conv3dBackwardData& conv, Stream stream) {
  if (conv.shape.size > 3) return conv3d_wide_backward(conv, stream);
  if (conv.shape.size == 1) return conv1x1x1_backward(conv, stream);
  if (conv.shape.ci == 1) return conv3x3x3_stem_backward(conv, stream);
  return conv3x3x3_direct_backward(conv, stream);
}

int backward_weights_parts(const ConvWeights& s, Size3 patch, int n_patches) {
  return s.size == 1   ? conv1x1x1_gradient_parts(patch, n_patches)
         : s.size == 3 ? conv3x3x3_gradient_parts(patch, n_patches)
                       : conv3d_wide_gradient_parts(patch, n_patches);
}

Result conv3d_backward_weights(const Conv3dBackwardWeights& conv, Stream stream) {
  return conv.shape.size == 1   ? conv1x1x1_gradient(conv, stream)
         : conv.shape.size == 3 ? conv3x3x3_gradient(conv, stream)
                                : conv3d_wide_gradient(conv, stream);
}

}  // namespace sr::cuda
