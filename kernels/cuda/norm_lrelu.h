// The critic's layer normalisation, and what else of its numbers is no convolution, on a GPU: kernels/norm_lrelu.h on
// device memory, in float32. Sums are taken in an order that depends on shapes alone.
#pragma once

#include "kernels/cuda/types.h"
#include "kernels/norm_lrelu.h"

namespace sr::cuda {

// partial: room for norm_lrelu_partial(layer, n) doubles. Not in place, but for dx = da and dxt = dat.
int64_t norm_lrelu_partial(const NormLrelu& layer, int n);
Result norm_lrelu_forward(const NormLrelu& layer, int n, NormParameters<float> p, const float* x, NormMoments* moments,
                          double* partial, float* a, Stream stream);
Result norm_lrelu_backward(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                           const NormMoments* moments, const float* da, double* partial, float* dx,
                           NormGradients<float> gradients, Stream stream);
Result norm_lrelu_tangent(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                          const NormMoments* moments, const float* xt, TangentMoments* tangent_moments, double* partial,
                          float* at, Stream stream);
Result norm_lrelu_backward_tangent(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                                   const float* xt, const NormMoments* moments, const TangentMoments* tangent_moments,
                                   const float* da, const float* dat, double* partial, float* dx, float* dxt,
                                   NormGradients<float> gradients, Stream stream);

// x[s](v) = epsilon[s] real[s](v) + (1 - epsilon[s]) fake[s](v); x may be fake.
Result interpolate(int n, int64_t voxels, const float* epsilon, const float* real, const float* fake, float* x,
                   Stream stream);
// norms[s] = ||g[s]||, v[s] = weight (norms[s] - 1) g[s] / norms[s] (0 where the norm is 0).
Result penalty_direction(int n, int64_t voxels, const float* g, double weight, double* norms, float* v, Stream stream);
// to[i] += factor from[i]
Result add_scaled(int64_t n, float factor, const float* from, float* to, Stream stream);
Result fill(int64_t n, float value, float* to, Stream stream);

}  // namespace sr::cuda
