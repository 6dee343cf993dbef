// What training does with numbers that are no convolution: gradients of batch-norm and of the loss, and the optimiser.
// Formulas: kernels/conv3d_backward.h. Sums are taken in an order that depends on shapes alone.
#pragma once

#include "kernels/cuda/types.h"

namespace sr::cuda {

// One step of Adam (there is no other optimiser), as engine/training/training_engine.h has the formula, with unbias =
// 1 / (1 - beta^t). In device memory, because it changes from step to step.
struct AdamNumbers {
  double rate, beta1, beta2, epsilon, unbias_m, unbias_v;
  double clip;  // the gradient's largest Euclidean norm; 0: any
};

// What a step tells the host. `step_sums` reads them on the device: where one is not finite, adam_step and
// move_running_statistics change nothing.
struct StepSums {
  double loss, input_loss;  // sums of |SR - HR| and |LR - HR| over voxels
  double gradient_squares;  // squared Euclidean norm
};

// totals[p][c] = the sum of channel c of patch p, [n_patches][channels]: what a bias' gradient is made of.
Result channel_totals(const Operand& dy, Size3 patch, int n_patches, float* totals, Stream stream);
// to[i] = the sum over parts of partial[part * stride + (index ? index[i] : i)], in double.
Result reduce_parts(const float* partial, int64_t stride, int n_parts, const int* index, int64_t n, float* to,
                    Stream stream);

// dgamma and dbeta of the sums of dt and dt x.
Result norm_gradients(const ChannelSums* sums, int n_channels, double eps, const double* mean, const double* variance,
                      float* dgamma, float* dbeta, Stream stream);
// What the statistics carry back, an affine of x, on top of slope and offset.
Result norm_carry(const ChannelSums* sums, int n_channels, double n_voxels, double eps, const double* mean,
                  const double* variance, const float* gamma, double* slope, double* offset, Stream stream);
// g[c] += slope[c - channels.first] f[c] + offset[c - channels.first]; slope and offset are zero afterwards.
Result add_affine(const FeatureMaps& f, const FeatureMaps& g, Channels channels, double* slope, double* offset,
                  Stream stream);

// The mean absolute error of n voxels: dimage = weight sign(image - target); partial_sums[part * 2 + {0, 1}] receives
// |image - target| and |input - target|, l1_parts(n) parts.
int l1_parts(int64_t n);
Result l1_loss(const float* image, const float* input, const float* target, int64_t n, float weight, float* dimage,
               float* partial_sums, Stream stream);

// to[i] = from[index[i]], 0 where index[i] is negative: parameters packed for a kernel.
Result gather_indexed(const float* from, const int* index, int64_t n, float* to, Stream stream);

// sums->gradient_squares = the squared Euclidean norm of n numbers. partial: room for kSquareParts doubles.
inline constexpr int kSquareParts = 256;
Result sum_of_squares(const float* row, int64_t n, double* partial, StepSums* sums, Stream stream);
Result adam_step(const AdamNumbers* numbers, const StepSums* step_sums, const float* gradient, int64_t n,
                 float* parameters, float* m, float* v, Stream stream);
// running = (1 - momentum) running + momentum moment, the variance times `unbiased` before.
Result move_running_statistics(const double* mean, const double* variance, const StepSums* step_sums, int64_t n,
                               double momentum, double unbiased, float* running_mean, float* running_variance,
                               Stream stream);

}  // namespace sr::cuda
