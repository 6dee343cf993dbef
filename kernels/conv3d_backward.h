// The way back through conv3d.h's operation: from the gradient of a loss with respect to y to those with respect to the
// weights, to x, and to the batch-norm and activation in between. f holds the features of the forward pass, g the
// gradients of the same channels in the same layout; dy is g's channel y.
//
//   a[ci](v)  = act(t), t = scale[ci] x[ci](v) + shift[ci]                as in the forward pass; a = x, scale = 1
//                                                                         without a prologue
//   dweight[co][ci][tap] += sum over v of dy[co](v) a[ci](v + tap)         a is zero outside the volume
//   dbias[co] += sum over v of dy[co](v)
//   da[ci](u) = sum over co, tap of weight[co][ci][tap] dy[co](u - tap)    dy is zero outside the volume
//   dt[ci]    = da[ci] act'(t),  act'(t) = 1 for t >= 0; exp(t) (ELU) or slope[ci] (PReLU) for t < 0
//   g[ci]    += scale[ci] dt[ci]                                           or =, where nothing was there before
//   sums[ci]  = { sum of dt[ci], sum of dt[ci] x[ci], sum of da[ci] t where t < 0 } over all voxels
//   dslope[ci] = the last of the sums                                      of a PReLU; without one it is zero
//
// In train mode scale and shift depend on x as well. With mean m and biased variance s^2 of the N values of a channel,
// xh = (x - m) / s and scale = gamma / s, the gradient is (Ioffe, Szegedy, arXiv 1502.03167, section 3)
//   dx = scale (dt - S1 / N - xh Sx / N),   S1 = sum of dt = dbeta,   Sx = sum of dt xh = (S2 - m S1) / s = dgamma
// with S2 the second of the sums. The first term is what g receives above; the other two are an affine of x whose
// coefficients are known once all voxels of all patches are in: add_affine brings them, for all readers of a channel at
// once, before the channel's own gradient is used.
#pragma once

#include <span>
#include <vector>

#include "kernels/conv3d.h"

namespace sr {

struct GradientSums {
  double sum = 0;          // of dt
  double sum_times_x = 0;  // of dt x
  double slope = 0;        // of da t where t < 0, with slopes
};

// [co][ci][tap] -> [ci][co][tap reversed]: da is the convolution of dy with these weights, no bias.
std::vector<float> transposed_weights(const ConvWeights& conv);

// The specification: plain loops, double. Channels x and y of g must not overlap. sums (x.count) and dbias may be null.
void conv3d_backward_data_ref(Features<double> f, Features<double> g, Channels x, Prologue<double> prologue,
                              const ConvWeights& conv, Channels y, bool accumulate, GradientSums* sums);
// dweight, dbias: added to.
void conv3d_backward_weights_ref(Features<double> f, Features<double> g, Channels x, Prologue<double> prologue,
                                 int size, Channels y, double* dweight, double* dbias);

// g[c] += slope[c - c.first] f[c] + offset[c - c.first] on voxels. T is float or double.
template <class T>
void add_affine(Features<T> f, Features<T> g, Channels channels, const double* slope, const double* offset);

// As the reference in float32, on scratch.n_threads() threads. f and g have the same padded layout; g's padding lanes
// hold zeros before and after. `transposed`: PackedConv of transposed_weights. The results do not depend on the number
// of threads.
void conv3d_backward_data_cpu(Features<float> f, Features<float> g, Channels x, Prologue<float> prologue,
                              const PackedConv& transposed, Channels y, bool accumulate, GradientSums* sums,
                              ConvScratch& scratch);
// Over all patches of a batch, whose layouts are the same: features and gradients of one patch each.
struct TrainedPatch {
  Features<float> f, g;
};
// algorithm: winograd4 and winograd2 gather the gradient on transformed tiles, with as many multiplications less as in
// the forward pass; 1x1x1 kernels and those with few channels are computed directly.
void conv3d_backward_weights_cpu(std::span<const TrainedPatch> patches, Channels x, Prologue<float> prologue, int size,
                                 Channels y, ConvAlgorithm algorithm, double* dweight, double* dbias,
                                 ConvScratch& scratch);

}  // namespace sr
