// What training does with numbers that are no convolution: kernels/cuda/training_api.h has the operations.
#pragma once

#include "kernels/cuda/training_api.h"

namespace sr::cuda {

void channel_totals(const Operand& dy, Size3 patch, int n_patches, float* totals, Stream stream);
void sum_parts(const float* partial, int64_t stride, int n_parts, const int* index, int64_t n, float* to,
               Stream stream);
void norm_gradients(const ChannelSums* sums, int n_channels, double eps, const double* mean, const double* variance,
                    float* dgamma, float* dbeta, Stream stream);
void norm_carry(const ChannelSums* sums, int n_channels, double n_voxels, double eps, const double* mean,
                const double* variance, const float* gamma, double* slope, double* offset, Stream stream);
void settle_gradients(const FeatureMaps& f, const FeatureMaps& g, Channels channels, double* slope, double* offset,
                      Stream stream);
int l1_parts(int64_t n);
void l1_loss(const float* image, const float* input, const float* target, int64_t n, float weight, float* dimage,
             float* partial_sums, Stream stream);
void pick(const float* from, const int* index, int64_t n, float* to, Stream stream);
void sum_of_squares(const float* row, int64_t n, double* partial, StepSums* sums, Stream stream);
void adam_step(const AdamNumbers* numbers, const StepSums* verdict, const float* gradient, int64_t n, float* parameters,
               float* m, float* v, Stream stream);
void move_running_statistics(const double* mean, const double* variance, const StepSums* verdict, int64_t n,
                             double momentum, double unbiased, float* running_mean, float* running_variance,
                             Stream stream);

}  // namespace sr::cuda
