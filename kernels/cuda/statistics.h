// Batch-norm's statistics on the device, from the parts that the convolutions leave behind: kernels/cuda/api.h,
// add_parts and norm_affine; kernels/cuda/training_api.h, add_batch_parts,
// batch_moments and moments_affine.
#pragma once

#include "kernels/cuda/api.h"

namespace sr::cuda {

void add_parts(const float* partial_sums, int n_patches, int co, int n_parts, ChannelSums* sums, int64_t sums_stride,
               Stream stream);
void add_batch_parts(const float* partial_sums, int n_patches, int co, int n_parts, ChannelSums* sums, Stream stream);
void norm_affine(const ChannelSums* sums, int64_t sums_stride, int n_patches, int n_channels, double n_voxels,
                 double eps, const float* gamma, const float* beta, float* scale, float* shift, int64_t affine_stride,
                 Stream stream);
void batch_moments(const ChannelSums* sums, int n_channels, double n_voxels, double* mean, double* variance,
                   Stream stream);
void moments_affine(const double* mean, const double* variance, int n_channels, double eps, const float* gamma,
                    const float* beta, float* scale, float* shift, Stream stream);

}  // namespace sr::cuda
