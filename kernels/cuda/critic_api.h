// What the critic asks of a GPU: the operations of kernels/strided_conv3d.h and kernels/norm_lrelu.h on device memory,
// in float32. Part of the table of kernels/cuda/api.h and under its rules; sums are taken in an order that depends on
// shapes alone.
#pragma once

#include "kernels/cuda/types.h"
#include "kernels/norm_lrelu.h"
#include "kernels/strided_conv3d.h"

namespace sr::cuda {

struct CriticApi {
  Result (*strided_conv3d_forward)(const StridedConv& conv, int n, const float* weight, const float* x, float* y,
                                   Stream stream);
  Result (*strided_conv3d_backward_data)(const StridedConv& conv, int n, const float* weight, const float* dy,
                                         float* dx, Stream stream);
  // partial: room for strided_conv3d_partial(conv, n) floats. dweight is added to.
  int64_t (*strided_conv3d_partial)(const StridedConv& conv, int n);
  Result (*strided_conv3d_backward_weights)(const StridedConv& conv, int n, const float* x, const float* dy,
                                            float* partial, float* dweight, Stream stream);

  // partial: room for norm_lrelu_partial(layer, n) doubles. Not in place, but for dx = da and dxt = dat.
  int64_t (*norm_lrelu_partial)(const NormLrelu& layer, int n);
  Result (*norm_lrelu_forward)(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                               NormMoments* moments, double* partial, float* a, Stream stream);
  Result (*norm_lrelu_backward)(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                                const NormMoments* moments, const float* da, double* partial, float* dx,
                                NormGradients<float> gradients, Stream stream);
  Result (*norm_lrelu_tangent)(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                               const NormMoments* moments, const float* xt, TangentMoments* tangent_moments,
                               double* partial, float* at, Stream stream);
  Result (*norm_lrelu_backward_tangent)(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                                        const float* xt, const NormMoments* moments,
                                        const TangentMoments* tangent_moments, const float* da, const float* dat,
                                        double* partial, float* dx, float* dxt, NormGradients<float> gradients,
                                        Stream stream);

  // x[s](v) = epsilon[s] real[s](v) + (1 - epsilon[s]) fake[s](v); x may be fake.
  Result (*interpolate)(int n, int64_t voxels, const float* epsilon, const float* real, const float* fake, float* x,
                        Stream stream);
  // norms[s] = ||g[s]||, v[s] = weight (norms[s] - 1) g[s] / norms[s] (0 where the norm is 0).
  Result (*penalty_direction)(int n, int64_t voxels, const float* g, double weight, double* norms, float* v,
                              Stream stream);
  // to[i] += factor from[i]
  Result (*add_scaled)(int64_t n, float factor, const float* from, float* to, Stream stream);
  Result (*fill)(int64_t n, float value, float* to, Stream stream);
  Result (*copy)(int64_t n, const float* from, float* to, Stream stream);
};

}  // namespace sr::cuda
