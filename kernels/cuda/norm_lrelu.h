// The critic's layer normalisation, and what else of its numbers is no convolution, on a GPU: kernels/cuda/critic_api.h
// has the operations, kernels/norm_lrelu.h their formulas.
#pragma once

#include "kernels/cuda/critic_api.h"

namespace sr::cuda {

int64_t norm_lrelu_partial(const NormLrelu& layer, int n);
void norm_lrelu_forward(const NormLrelu& layer, int n, NormParameters<float> p, const float* x, NormMoments* moments,
                        double* partial, float* a, Stream stream);
void norm_lrelu_backward(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                         const NormMoments* moments, const float* da, double* partial, float* dx,
                         NormGradients<float> gradients, Stream stream);
void norm_lrelu_tangent(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                        const NormMoments* moments, const float* xt, TangentMoments* tangent_moments, double* partial,
                        float* at, Stream stream);
void norm_lrelu_backward_tangent(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                                 const float* xt, const NormMoments* moments, const TangentMoments* tangent_moments,
                                 const float* da, const float* dat, double* partial, float* dx, float* dxt,
                                 NormGradients<float> gradients, Stream stream);

void interpolate(int n, int64_t voxels, const float* epsilon, const float* real, const float* fake, float* x,
                 Stream stream);
void penalty_direction(int n, int64_t voxels, const float* g, double weight, double* norms, float* v, Stream stream);
void add_scaled(int64_t n, float factor, const float* from, float* to, Stream stream);
void fill(int64_t n, float value, float* to, Stream stream);

}  // namespace sr::cuda
