// Layer normalisation (Ba, Kiros, Hinton, arXiv 1607.06450) over all M = C D H W numbers of a sample, an affine per
// channel, and leaky ReLU; with its gradient, its derivative along a direction, and the gradient of that derivative.
// Maps lie as in kernels/strided_conv3d.h. docs/wgan-gp.md derives what stands here.
//
//   m = <x>, r = 1 / sqrt(<(x - m)^2> + eps), h = (x - m) r            <.>: mean over the sample
//   t = gamma[c] h + beta[c],  a = t for t > 0, slope t else,  s = da/dt = 1 or slope
//
// The derivative of h along v is J v, and J is symmetric:
//   J v = r (v - <v> - h <h v>)
//
//   forward            a
//   backward           u = s da, p = gamma u:  dx = J p,  dgamma[c] += sum of u h,  dbeta[c] += sum of u
//   tangent            at = s gamma J xt:  how a changes when x changes along xt
//   backward_tangent   of a loss through both a and at, whose gradients are da and dat:
//                      u = s da, p = gamma u, w = s dat, q = gamma w
//                      dxt = J q
//                      dx  = J p - r <h xt> J q - r <h q> J xt - r^2 h (<q xt> - <q> <xt> - <h q> <h xt>)
//                      dgamma[c] += sum of u h + w J xt,  dbeta[c] += sum of u
//
// `normalised` false: h = x, J v = v, and gamma is 1 and not trained; beta is a bias.
// Means and sums are taken in double, in an order that depends on shapes alone.
#pragma once

#include <cstdint>

namespace sr {

struct NormLrelu {
  int channels;
  int64_t voxels;  // of a channel: D H W
  bool normalised;
  double eps;
  double slope;                                           // 1: no ReLU
  int64_t elements() const { return channels * voxels; }  // M
};

// Of one sample.
struct NormMoments {
  double mean, scale;  // m, r; 0 and 1 where nothing is normalised
};
struct TangentMoments {
  double mean, along;  // <xt>, <h xt>; 0 and 0 where nothing is normalised
};

// Parameters and their gradients, which are added to. gamma and dgamma are null where nothing is normalised; both
// gradients are null where nobody asks for them.
template <class T>
struct NormParameters {
  const T* gamma;
  const T* beta;
};
template <class T>
struct NormGradients {
  T* dgamma;
  T* dbeta;
};

// On the host, n samples, T float or double. In place is allowed: a may be x, at may be xt, dx may be da, dxt may be
// dat.
template <class T>
void norm_lrelu_forward(const NormLrelu& layer, int n, NormParameters<T> p, const T* x, NormMoments* moments, T* a,
                        int n_threads);
template <class T>
void norm_lrelu_backward(const NormLrelu& layer, int n, NormParameters<T> p, const T* x, const NormMoments* moments,
                         const T* da, T* dx, NormGradients<T> gradients, int n_threads);
template <class T>
void norm_lrelu_tangent(const NormLrelu& layer, int n, NormParameters<T> p, const T* x, const NormMoments* moments,
                        const T* xt, TangentMoments* tangent_moments, T* at, int n_threads);
template <class T>
void norm_lrelu_backward_tangent(const NormLrelu& layer, int n, NormParameters<T> p, const T* x, const T* xt,
                                 const NormMoments* moments, const TangentMoments* tangent_moments, const T* da,
                                 const T* dat, T* dx, T* dxt, NormGradients<T> gradients, int n_threads);

}  // namespace sr
