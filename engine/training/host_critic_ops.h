// The critic's operations on the host: float with SIMD, double by the plain loops.
#pragma once

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "engine/training/net_critic.h"

namespace sr::train {

template <class T>
class HostCriticOps final : public CriticOps<T> {
 public:
  explicit HostCriticOps(int n_threads) : n_threads_(n_threads), scratch_(n_threads) {}

  std::vector<T> parameters, gradient;  // rows in the order of engine/training/net_critic.h; the gradient is added to

  void conv(const CriticLayer& l, int n, const T* x, T* y) override {
    if constexpr (std::is_same_v<T, float>)
      strided_conv3d_forward_cpu(l.conv, n, weight(l), x, y, scratch_);
    else
      strided_conv3d_forward_ref(l.conv, n, weight(l), x, y);
  }
  void conv_backward_data(const CriticLayer& l, int n, const T* dy, T* dx) override {
    if constexpr (std::is_same_v<T, float>)
      strided_conv3d_backward_data_cpu(l.conv, n, weight(l), dy, dx, scratch_);
    else
      strided_conv3d_backward_data_ref(l.conv, n, weight(l), dy, dx);
  }
  void conv_backward_weights(const CriticLayer& l, int n, const T* x, const T* dy) override {
    T* const dweight = gradient.data() + l.weight;
    if constexpr (std::is_same_v<T, float>)
      strided_conv3d_backward_weights_cpu(l.conv, n, x, dy, dweight, scratch_);
    else
      strided_conv3d_backward_weights_ref(l.conv, n, x, dy, dweight);
  }
  void norm(const CriticLayer& l, int n, const T* x, NormMoments* moments, T* a) override {
    norm_lrelu_forward(l.norm, n, norm_parameters(l), x, moments, a, n_threads_);
  }
  void norm_backward(const CriticLayer& l, int n, const T* x, const NormMoments* moments, const T* da, T* dx,
                     bool with_parameters) override {
    norm_lrelu_backward(l.norm, n, norm_parameters(l), x, moments, da, dx,
                        with_parameters ? norm_gradients(l) : NormGradients<T>{nullptr, nullptr}, n_threads_);
  }
  void norm_tangent(const CriticLayer& l, int n, const T* x, const NormMoments* moments, const T* xt,
                    TangentMoments* tangent_moments, T* at) override {
    norm_lrelu_tangent(l.norm, n, norm_parameters(l), x, moments, xt, tangent_moments, at, n_threads_);
  }
  void norm_backward_tangent(const CriticLayer& l, int n, const T* x, const T* xt, const NormMoments* moments,
                             const TangentMoments* tangent_moments, const T* da, const T* dat, T* dx, T* dxt) override {
    norm_lrelu_backward_tangent(l.norm, n, norm_parameters(l), x, xt, moments, tangent_moments, da, dat, dx, dxt,
                                norm_gradients(l), n_threads_);
  }
  void interpolate(int n, int64_t voxels, const T* epsilon, const T* real, const T* fake, T* x) override {
    for (int s = 0; s < n; s++)
      for (int64_t i = s * voxels; i < (s + 1) * voxels; i++) x[i] = epsilon[s] * real[i] + (1 - epsilon[s]) * fake[i];
  }
  void penalty_direction(int n, int64_t voxels, const T* g, double weight, double* norms, T* v) override {
    for (int s = 0; s < n; s++) {
      double squares = 0;
      for (int64_t i = s * voxels; i < (s + 1) * voxels; i++) squares += double{g[i]} * double{g[i]};
      norms[s] = std::sqrt(squares);
      const double factor = norms[s] > 0 ? weight * (norms[s] - 1) / norms[s] : 0;
      for (int64_t i = s * voxels; i < (s + 1) * voxels; i++) v[i] = static_cast<T>(factor * double{g[i]});
    }
  }
  void fill(T* to, int64_t n, T value) override { std::fill_n(to, n, value); }
  void copy(const T* from, int64_t n, T* to) override { std::copy_n(from, n, to); }

 private:
  const T* weight(const CriticLayer& l) const { return parameters.data() + l.weight; }
  NormParameters<T> norm_parameters(const CriticLayer& l) const {
    return {l.gamma < 0 ? nullptr : parameters.data() + l.gamma, parameters.data() + l.beta};
  }
  NormGradients<T> norm_gradients(const CriticLayer& l) {
    return {l.gamma < 0 ? nullptr : gradient.data() + l.gamma, gradient.data() + l.beta};
  }

  int n_threads_;
  GatherScratch scratch_;
};

}  // namespace sr::train
