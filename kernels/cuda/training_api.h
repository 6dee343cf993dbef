// What training asks of a GPU besides the forward pass: gradients of the convolutions, of batch-norm and of the loss,
// and the optimiser. Part of the table of kernels/cuda/api.h and under its rules. Features and gradients are float32;
// they lie in two FeatureMaps of one shape. Formulas: kernels/conv3d_backward.h. Sums are taken in an order that
// depends on shapes alone, so that a step gives the same bits on every run.
#pragma once

#include "kernels/cuda/types.h"

namespace sr::cuda {

// Gradients of a convolution's inputs: da = conv(dy, transposed weights), then, in the epilogue, dt = da act'(t) and
// g[x] += scale dt (or =). partial_sums as in Conv3dForward, of dt and dt x instead of y and y^2; partial_slopes[(p *
// n_parts + part) * x.count + c] receives sums of da t where t < 0; null: nobody asks.
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

// Gradients of a convolution's weights, over all patches: partial[part][co][ci][tap], n_parts = gradient_parts().
struct Conv3dBackwardWeights {
  ConvWeights shape;  // of the forward convolution; its pointers are not used
  Size3 patch;
  int n_patches;
  Operand x;  // features, or the image
  DevicePrologue prologue;
  Operand dy;  // gradients, or an image of gradients
  float* partial;
};

// One step of Adam (kernels/cuda/api.h has no other optimiser), as engine/training/training_engine.h has the formula,
// with unbias = 1 / (1 - beta^t). In device memory, because it changes from step to step.
struct AdamNumbers {
  double rate, beta1, beta2, epsilon, unbias_m, unbias_v;
  double clip;  // the gradient's largest Euclidean norm; 0: any
};

// What a step tells the host. `verdict` reads them on the device: where one is not finite, adam_step and
// move_running_statistics change nothing.
struct StepSums {
  double loss, input_loss;  // sums of |SR - HR| and |LR - HR| over voxels
  double gradient_squares;  // squared Euclidean norm
};

// Blocks of a sum of squares.
inline constexpr int square_parts = 256;

// Ranks that add up their numbers, by NCCL.
using Communicator = void*;
inline constexpr int communicator_id_bytes = 128;

struct TrainingApi {
  Result (*conv3d_backward_data)(const Conv3dBackwardData& conv, Stream stream);
  int (*gradient_parts)(const ConvWeights& shape, Size3 patch, int n_patches);
  Result (*conv3d_backward_weights)(const Conv3dBackwardWeights& conv, Stream stream);
  // totals[p][c] = the sum of channel c of patch p, [n_patches][channels]: what a bias' gradient is made of.
  Result (*channel_totals)(const Operand& dy, Size3 patch, int n_patches, float* totals, Stream stream);
  // to[i] = the sum over parts of partial[part * stride + (index ? index[i] : i)], in double.
  Result (*sum_parts)(const float* partial, int64_t stride, int n_parts, const int* index, int64_t n, float* to,
                      Stream stream);

  // As add_parts, of all patches together.
  Result (*add_batch_parts)(const float* partial_sums, int n_patches, int co, int n_parts, ChannelSums* sums,
                            Stream stream);
  // mean and biased variance of sums over n_voxels.
  Result (*batch_moments)(const ChannelSums* sums, int n_channels, double n_voxels, double* mean, double* variance,
                          Stream stream);
  // scale = gamma / sqrt(variance + eps), shift = beta - mean scale.
  Result (*moments_affine)(const double* mean, const double* variance, int n_channels, double eps, const float* gamma,
                           const float* beta, float* scale, float* shift, Stream stream);
  // dgamma and dbeta of the sums of dt and dt x.
  Result (*norm_gradients)(const ChannelSums* sums, int n_channels, double eps, const double* mean,
                           const double* variance, float* dgamma, float* dbeta, Stream stream);
  // What the statistics carry back, an affine of x, on top of slope and offset.
  Result (*norm_carry)(const ChannelSums* sums, int n_channels, double n_voxels, double eps, const double* mean,
                       const double* variance, const float* gamma, double* slope, double* offset, Stream stream);
  // The ways back of kernels/pointwise.h: from g's channels y to x, of skip as well. partial_slopes and partial_sums as
  // in Conv3dBackwardData, of pointwise_parts() parts.
  int (*pointwise_parts)(Size3 patch);
  Result (*prelu_backward)(const FeatureMaps& f, const FeatureMaps& g, Channels x, const float* slope, Channels y,
                           bool accumulate, float* partial_slopes, Stream stream);
  Result (*norm_add_backward)(const FeatureMaps& f, const FeatureMaps& g, Channels x, const float* scale, Channels skip,
                              Channels y, bool accumulate, float* partial_sums, Stream stream);

  // g[c] += slope[c - channels.first] f[c] + offset[c - channels.first]; slope and offset are zero afterwards.
  Result (*settle_gradients)(const FeatureMaps& f, const FeatureMaps& g, Channels channels, double* slope,
                             double* offset, Stream stream);

  // The mean absolute error of n voxels: dimage = weight sign(image - target); partial_sums[part * 2 + {0, 1}] receives
  // |image - target| and |input - target|, l1_parts(n) parts.
  int (*l1_parts)(int64_t n);
  Result (*l1_loss)(const float* image, const float* input, const float* target, int64_t n, float weight, float* dimage,
                    float* partial_sums, Stream stream);

  // to[i] = from[index[i]], 0 where index[i] is negative: parameters packed for a kernel.
  Result (*pick)(const float* from, const int* index, int64_t n, float* to, Stream stream);
  // sums->gradient_squares = the squared Euclidean norm of n numbers. partial: room for square_parts doubles.
  Result (*sum_of_squares)(const float* row, int64_t n, double* partial, StepSums* sums, Stream stream);
  Result (*adam_step)(const AdamNumbers* numbers, const StepSums* verdict, const float* gradient, int64_t n,
                      float* parameters, float* m, float* v, Stream stream);
  // running = (1 - momentum) running + momentum moment, the variance times `unbiased` before.
  Result (*move_running_statistics)(const double* mean, const double* variance, const StepSums* verdict, int64_t n,
                                    double momentum, double unbiased, float* running_mean, float* running_variance,
                                    Stream stream);

  // NCCL, which is looked for when communicator_missing is first called: null, or why there is none; only after null
  // may the others be called. One rank makes the id, all ranks join with it, each with a device of its own in use.
  // add_up: values[i] = the sum of values[i] of all ranks.
  const char* (*communicator_missing)();
  Result (*make_communicator_id)(char id[communicator_id_bytes]);
  Result (*join)(const char id[communicator_id_bytes], int rank, int n_ranks, Communicator* communicator);
  void (*leave)(Communicator communicator);
  Result (*add_up_floats)(Communicator communicator, float* values, int64_t n, Stream stream);
  Result (*add_up_doubles)(Communicator communicator, double* values, int64_t n, Stream stream);
};

}  // namespace sr::cuda
