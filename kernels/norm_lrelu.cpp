// In float and in double the same loops: what they do is bound by memory.
#include "kernels/norm_lrelu.h"

#include <cmath>
#include <vector>

namespace sr {
namespace {

// Sums over the voxels of each channel of a sample; what a sample needs is made of them.
template <int N>
struct Sums {
  double of[N] = {};
};

// f(voxel's number, sums) over every channel of every sample -> [n][channels], channels in parallel.
template <int N, class F>
std::vector<Sums<N>> channel_sums(const NormLrelu& layer, int n, int n_threads, F f) {
  std::vector<Sums<N>> sums(static_cast<size_t>(n) * static_cast<size_t>(layer.channels));
  const int64_t rows = int64_t{n} * layer.channels;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t row = 0; row < rows; row++) {
    Sums<N> s;
    for (int64_t i = row * layer.voxels; i < (row + 1) * layer.voxels; i++)
      f(i, static_cast<int>(row / layer.channels), static_cast<int>(row % layer.channels), s.of);
    sums[row] = s;
  }
  return sums;
}

// f(voxel's number, sample, channel) for every voxel.
template <class F>
void for_voxels(const NormLrelu& layer, int n, int n_threads, F f) {
  const int64_t rows = int64_t{n} * layer.channels;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int64_t row = 0; row < rows; row++)
    for (int64_t i = row * layer.voxels; i < (row + 1) * layer.voxels; i++)
      f(i, static_cast<int>(row / layer.channels), static_cast<int>(row % layer.channels));
}

template <class T>
double gamma_of(const NormLrelu& layer, NormParameters<T> p, int c) {
  return layer.normalised ? double{p.gamma[c]} : 1.0;
}

// The mean over a sample of gamma times a sum; 0 where nothing is normalised, so that J v = v below.
template <int N, class T>
double sample_mean(const NormLrelu& layer, NormParameters<T> p, const std::vector<Sums<N>>& sums, int sample,
                   int which) {
  if (!layer.normalised) return 0;
  double total = 0;
  for (int c = 0; c < layer.channels; c++) total += double{p.gamma[c]} * sums[sample * layer.channels + c].of[which];
  return total / static_cast<double>(layer.elements());
}

struct Normalised {
  double h, t;
};
template <class T>
Normalised normalised(const NormLrelu& layer, NormParameters<T> p, const NormMoments& m, T x, int c) {
  const double h = (double{x} - m.mean) * m.scale;
  return {h, gamma_of(layer, p, c) * h + double{p.beta[c]}};
}

}  // namespace

template <class T>
void norm_lrelu_forward(const NormLrelu& layer, int n, NormParameters<T> p, const T* x, NormMoments* moments, T* a,
                        int n_threads) {
  for (int s = 0; s < n; s++) moments[s] = {0, 1};
  if (layer.normalised) {
    const auto count = static_cast<double>(layer.elements());
    const auto total = [&](const std::vector<Sums<1>>& sums, int s) {
      double sum = 0;
      for (int c = 0; c < layer.channels; c++) sum += sums[s * layer.channels + c].of[0];
      return sum;
    };
    const auto sum =
        channel_sums<1>(layer, n, n_threads, [&](int64_t i, int, int, double* s) { s[0] += double{x[i]}; });
    for (int s = 0; s < n; s++) moments[s].mean = total(sum, s) / count;
    const auto squares = channel_sums<1>(layer, n, n_threads, [&](int64_t i, int sample, int, double* s) {
      const double d = double{x[i]} - moments[sample].mean;
      s[0] += d * d;
    });
    for (int s = 0; s < n; s++) moments[s].scale = 1 / std::sqrt(total(squares, s) / count + layer.eps);
  }
  for_voxels(layer, n, n_threads, [&](int64_t i, int s, int c) {
    const double t = normalised(layer, p, moments[s], x[i], c).t;
    a[i] = static_cast<T>(t > 0 ? t : layer.slope * t);
  });
}

template <class T>
void norm_lrelu_backward(const NormLrelu& layer, int n, NormParameters<T> p, const T* x, const NormMoments* moments,
                         const T* da, T* dx, NormGradients<T> gradients, int n_threads) {
  const auto u_of = [&](int64_t i, double t) { return t > 0 ? double{da[i]} : layer.slope * double{da[i]}; };
  const auto sums = channel_sums<2>(layer, n, n_threads, [&](int64_t i, int sample, int c, double* s) {
    const Normalised v = normalised(layer, p, moments[sample], x[i], c);
    const double u = u_of(i, v.t);
    s[0] += u;
    s[1] += u * v.h;
  });
  std::vector<double> mean(static_cast<size_t>(n)), along(mean.size());  // <p>, <h p>
  for (int s = 0; s < n; s++) {
    mean[s] = sample_mean(layer, p, sums, s, 0);
    along[s] = sample_mean(layer, p, sums, s, 1);
  }
  for_voxels(layer, n, n_threads, [&](int64_t i, int s, int c) {
    const Normalised v = normalised(layer, p, moments[s], x[i], c);
    const double slope = gamma_of(layer, p, c) * u_of(i, v.t);
    dx[i] = static_cast<T>(moments[s].scale * (slope - mean[s] - v.h * along[s]));
  });
  for (size_t row = 0; gradients.dbeta && row < sums.size(); row++) {
    const size_t c = row % static_cast<size_t>(layer.channels);
    gradients.dbeta[c] += static_cast<T>(sums[row].of[0]);
    if (gradients.dgamma) gradients.dgamma[c] += static_cast<T>(sums[row].of[1]);
  }
}

template <class T>
void norm_lrelu_tangent(const NormLrelu& layer, int n, NormParameters<T> p, const T* x, const NormMoments* moments,
                        const T* xt, TangentMoments* tangent_moments, T* at, int n_threads) {
  for (int s = 0; s < n; s++) tangent_moments[s] = {0, 0};
  if (layer.normalised) {
    const auto sums = channel_sums<2>(layer, n, n_threads, [&](int64_t i, int sample, int c, double* s) {
      s[0] += double{xt[i]};
      s[1] += double{xt[i]} * normalised(layer, p, moments[sample], x[i], c).h;
    });
    for (size_t row = 0; row < sums.size(); row++) {
      TangentMoments& m = tangent_moments[row / static_cast<size_t>(layer.channels)];
      m.mean += sums[row].of[0] / static_cast<double>(layer.elements());
      m.along += sums[row].of[1] / static_cast<double>(layer.elements());
    }
  }
  for_voxels(layer, n, n_threads, [&](int64_t i, int s, int c) {
    const Normalised v = normalised(layer, p, moments[s], x[i], c);
    const double ht = moments[s].scale * (double{xt[i]} - tangent_moments[s].mean - v.h * tangent_moments[s].along);
    at[i] = static_cast<T>((v.t > 0 ? 1 : layer.slope) * gamma_of(layer, p, c) * ht);
  });
}

template <class T>
void norm_lrelu_backward_tangent(const NormLrelu& layer, int n, NormParameters<T> p, const T* x, const T* xt,
                                 const NormMoments* moments, const TangentMoments* tangent_moments, const T* da,
                                 const T* dat, T* dx, T* dxt, NormGradients<T> gradients, int n_threads) {
  enum { kU, kUh, kW, kWh, kWxt, kSums };
  const auto sums = channel_sums<kSums>(layer, n, n_threads, [&](int64_t i, int sample, int c, double* s) {
    const Normalised v = normalised(layer, p, moments[sample], x[i], c);
    const double slope = v.t > 0 ? 1 : layer.slope, u = slope * double{da[i]}, w = slope * double{dat[i]};
    s[kU] += u;
    s[kUh] += u * v.h;
    s[kW] += w;
    s[kWh] += w * v.h;
    s[kWxt] += w * double{xt[i]};
  });
  struct Sample {
    double p, ph, q, qh, both;  // <p>, <h p>, <q>, <h q>, <q xt> - <q> <xt> - <h q> <h xt>
  };
  std::vector<Sample> samples(static_cast<size_t>(n));
  for (int s = 0; s < n; s++) {
    const auto mean = [&](int which) { return sample_mean(layer, p, sums, s, which); };
    const TangentMoments& tm = tangent_moments[s];
    samples[s] = {mean(kU), mean(kUh), mean(kW), mean(kWh), mean(kWxt) - mean(kW) * tm.mean - mean(kWh) * tm.along};
  }
  for_voxels(layer, n, n_threads, [&](int64_t i, int s, int c) {
    const Sample& k = samples[s];
    const TangentMoments& tm = tangent_moments[s];
    const Normalised v = normalised(layer, p, moments[s], x[i], c);
    const double r = moments[s].scale, slope = (v.t > 0 ? 1 : layer.slope) * gamma_of(layer, p, c);
    const double jp = r * (slope * double{da[i]} - k.p - v.h * k.ph);
    const double jq = r * (slope * double{dat[i]} - k.q - v.h * k.qh);
    const double jxt = r * (double{xt[i]} - tm.mean - v.h * tm.along);
    dx[i] = static_cast<T>(jp - r * tm.along * jq - r * k.qh * jxt - r * r * v.h * k.both);
    dxt[i] = static_cast<T>(jq);
  });
  for (size_t row = 0; gradients.dbeta && row < sums.size(); row++) {
    const size_t c = row % static_cast<size_t>(layer.channels), s = row / static_cast<size_t>(layer.channels);
    const double* of = sums[row].of;
    gradients.dbeta[c] += static_cast<T>(of[kU]);
    const TangentMoments& tm = tangent_moments[s];
    const double w_jxt = moments[s].scale * (of[kWxt] - tm.mean * of[kW] - tm.along * of[kWh]);
    if (gradients.dgamma) gradients.dgamma[c] += static_cast<T>(of[kUh] + w_jxt);
  }
}

#define SR_NORM_LRELU(T)                                                                                              \
  template void norm_lrelu_forward(const NormLrelu&, int, NormParameters<T>, const T*, NormMoments*, T*, int);        \
  template void norm_lrelu_backward(const NormLrelu&, int, NormParameters<T>, const T*, const NormMoments*, const T*, \
                                    T*, NormGradients<T>, int);                                                       \
  template void norm_lrelu_tangent(const NormLrelu&, int, NormParameters<T>, const T*, const NormMoments*, const T*,  \
                                   TangentMoments*, T*, int);                                                         \
  template void norm_lrelu_backward_tangent(const NormLrelu&, int, NormParameters<T>, const T*, const T*,             \
                                            const NormMoments*, const TangentMoments*, const T*, const T*, T*, T*,    \
                                            NormGradients<T>, int);
SR_NORM_LRELU(float)
SR_NORM_LRELU(double)
#undef SR_NORM_LRELU

}  // namespace sr
