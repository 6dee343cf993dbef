// Batch-norm's statistics on the device, from the parts that the convolutions leave behind.
#pragma once

#include "kernels/cuda/types.h"

namespace sr::cuda {

// sums[p * sums_stride + c] = the parts of (p, c) added in double, in their order.
Result reduce_sums(const float* partial_sums, int n_patches, int co, int n_parts, ChannelSums* sums,
                   int64_t sums_stride, Stream stream);
// The same, of all patches together.
Result reduce_batch_sums(const float* partial_sums, int n_patches, int co, int n_parts, ChannelSums* sums,
                         Stream stream);
// scale = gamma / sqrt(var + eps), shift = beta - mean scale of sums over n_voxels, for each patch.
Result norm_affine(const ChannelSums* sums, int64_t sums_stride, int n_patches, int n_channels, double n_voxels,
                   double eps, const float* gamma, const float* beta, float* scale, float* shift, int64_t affine_stride,
                   Stream stream);
// mean and biased variance of sums over n_voxels.
Result batch_moments(const ChannelSums* sums, int n_channels, double n_voxels, double* mean, double* variance,
                     Stream stream);
// scale = gamma / sqrt(variance + eps), shift = beta - mean scale.
Result moments_affine(const double* mean, const double* variance, int n_channels, double eps, const float* gamma,
                      const float* beta, float* scale, float* shift, Stream stream);

}  // namespace sr::cuda
