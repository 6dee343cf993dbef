// Where numbers lie on a GPU, and what its operations are told and return. Needs no CUDA: a stream is known by the name
// of CUDA's own struct, so that it is a cudaStream_t to who sees the toolkit.
#pragma once

#include "kernels/conv3d.h"

struct CUstream_st;

namespace sr::cuda {

using Stream = CUstream_st*;  // cudaStream_t

// Every function that can fail returns one; last_error() (kernels/cuda/runtime.h) then has a sentence.
enum class Result : int { ok, out_of_memory, failed };

// How features are stored and multiplied. Accumulation and statistics are float32 or better in all of them.
enum class Precision : int {
  fp32,  // float32 on CUDA cores: every GPU, and what the others are compared with
  tf32,  // float32 storage, tensor cores with 10-bit mantissas: compute capability 8.0 and newer
  f16,   // half storage, tensor cores: 7.5 and newer
  bf16,  // bfloat16 storage, tensor cores: 8.0 and newer
};

inline const char* to_string(Precision p) {
  return p == Precision::f16 ? "f16" : p == Precision::bf16 ? "bf16" : p == Precision::tf32 ? "tf32" : "fp32";
}

// Feature maps of a batch of patches. Four channels lie together, so that a thread moves them with one instruction:
//   patch p, channel c, voxel v:  data[p * patch_stride + (c / 4) * 4 * voxels + 4 * v + c % 4]
// v = (z h + y) w + x; c < n_channels, a multiple of 4. Elements are float, half or bfloat16, as the precision has
// them.
struct FeatureMaps {
  void* data;
  Size3 size;  // of a patch
  int n_patches;
  int64_t patch_stride;  // elements
};

// Batch-norm and activation on the way into a convolution, as kernels/conv3d.h has them: scale[p * patch_stride + ci].
struct DevicePrologue {
  const float* scale = nullptr;  // null: neither affine nor activation
  const float* shift = nullptr;
  int64_t patch_stride = 0;      // 0: the same for every patch
  const float* slope = nullptr;  // [ci], of PReLU, the same for every patch; null: ELU
};

// One side of a convolution: channels of the feature maps, or (maps.data null) a single-channel image per patch,
// image[p * voxels + v], float32 in every precision.
struct Operand {
  FeatureMaps maps;
  Channels channels;  // first and count are multiples of 4; {0, 1} for an image
  float* image = nullptr;
};

}  // namespace sr::cuda
