// norm_lrelu.h on a GPU. Each operation is bound by device memory and has three steps:
//
//   sums       a warp adds up a run of one channel's voxels
//   settle     a block adds up a sample's: first each channel's, then, times gamma, what the sample has in common
//   apply      a warp takes a run of one channel's voxels
//
// and where parameters are trained a fourth, over the samples. Sums are double, as are the few numbers of a sample;
// what is done to a voxel is float32, whose rounding is that of the maps themselves.
#include "kernels/cuda/norm_lrelu.h"

#include "kernels/cuda/block_sum.cuh"
#include "kernels/cuda/check.h"

namespace sr::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;
constexpr int kRun = 1024;  // voxels of a warp
constexpr int kMostSums = 5;

enum class Pass { forward, backward, tangent, backward_tangent };
// Sums of each pass. backward_tangent has all five, backward the first two: of u, u h, w, w h, w xt.
// forward: of x - x0 and its square, x0 a number of the sample, so that a mean far from zero cancels nothing.
// tangent: of xt, xt h.
template <Pass PASS>
constexpr int sums_of = PASS == Pass::backward_tangent ? kMostSums : 2;

// <p>, <h p>, <q>, <h q>, <q xt> - <q> <xt> - <h q> <h xt>; zeros where nothing is normalised.
struct SampleMeans {
  double p, hp, q, hq, both;
};

struct NormArguments {
  NormLrelu layer;
  int n;
  int64_t runs;  // of a channel
  NormParameters<float> parameters;
  const float *x, *xt, *da, *dat;
  float *to, *to_tangent;  // a or dx; at or dxt
  NormMoments* moments;
  TangentMoments* tangent_moments;
  NormGradients<float> gradients;
  // Of `partial`: [sample][channel][run][sum], [sample][channel][sum], [sample]
  double *run_sums, *channel_sums;
  SampleMeans* means;
};

int64_t runs_of(const NormLrelu& layer) {
  return (layer.voxels + kRun - 1) / kRun;
}

// The warp's run: voxels first .. last - 1 of all maps. A warp without one leaves as a whole.
struct Run {
  int64_t number, first, last;
  int sample, channel;
};
__device__ __forceinline__ bool run_of_warp(const NormArguments& a, Run* run) {
  run->number = int64_t{blockIdx.x} * kWarps + threadIdx.x / 32;
  const int64_t row = run->number / a.runs;
  run->sample = static_cast<int>(row / a.layer.channels);
  run->channel = static_cast<int>(row % a.layer.channels);
  const int64_t from = run->number % a.runs * kRun;
  run->first = row * a.layer.voxels + from;
  run->last = row * a.layer.voxels + (from + kRun < a.layer.voxels ? from + kRun : a.layer.voxels);
  return run->sample < a.n;
}

// What the voxels of a channel of a sample have in common.
struct Affine {
  float mean, scale, gamma, beta, slope;
};
__device__ __forceinline__ Affine affine_of(const NormArguments& a, const Run& run) {
  const NormMoments m = a.moments[run.sample];
  return {static_cast<float>(m.mean), static_cast<float>(m.scale),
          a.layer.normalised ? a.parameters.gamma[run.channel] : 1.0f, a.parameters.beta[run.channel],
          static_cast<float>(a.layer.slope)};
}
struct Activation {
  float h, t, slope;  // slope: s
};
__device__ __forceinline__ Activation activation_of(const Affine& c, float x) {
  const float h = (x - c.mean) * c.scale, t = fmaf(c.gamma, h, c.beta);
  return {h, t, t > 0.0f ? 1.0f : c.slope};
}

template <int N>
__device__ __forceinline__ void warp_sums(double (&sum)[N]) {
#pragma unroll
  for (int step = 16; step > 0; step /= 2)
#pragma unroll
    for (int i = 0; i < N; i++) sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], step);
}

template <Pass PASS>
__global__ void __launch_bounds__(kThreads) norm_sums_kernel(NormArguments a) {
  constexpr int n_sums = sums_of<PASS>;
  Run run;
  if (!run_of_warp(a, &run)) return;
  double sum[n_sums] = {};
  const Affine c = PASS == Pass::forward ? Affine{} : affine_of(a, run);
  const double x0 = PASS == Pass::forward ? double{a.x[run.sample * a.layer.channels * a.layer.voxels]} : 0.0;
  const int lane = static_cast<int>(threadIdx.x % 32);
#pragma unroll 4
  for (int64_t i = run.first + lane; i < run.last; i += 32) {
    if constexpr (PASS == Pass::forward) {
      const double d = double{a.x[i]} - x0;
      sum[0] += d;
      sum[1] += d * d;
    } else {
      const Activation v = activation_of(c, a.x[i]);
      if constexpr (PASS == Pass::tangent) {
        const double xt = double{a.xt[i]};
        sum[0] += xt;
        sum[1] += xt * double{v.h};
      } else {
        const double u = double{v.slope * a.da[i]};
        sum[0] += u;
        sum[1] += u * double{v.h};
        if constexpr (PASS == Pass::backward_tangent) {
          const double w = double{v.slope * a.dat[i]};
          sum[2] += w;
          sum[3] += w * double{v.h};
          sum[4] += w * double{a.xt[i]};
        }
      }
    }
  }
  warp_sums(sum);
  if (lane == 0)
#pragma unroll
    for (int s = 0; s < n_sums; s++) a.run_sums[run.number * n_sums + s] = sum[s];
}

// grid: samples. Without sums (nothing is normalised) there is nothing to add, and the sample gets what leaves its
// numbers as they are.
template <Pass PASS>
__global__ void __launch_bounds__(kThreads) norm_settle_kernel(NormArguments a, bool has_sums) {
  constexpr int n_sums = sums_of<PASS>;
  SR_SHARED(double, of_warp, [kWarps * n_sums]);
  const int thread = static_cast<int>(threadIdx.x), sample = static_cast<int>(blockIdx.x);
  double of_sample[n_sums] = {};
  for (int c = thread; has_sums && c < a.layer.channels; c += kThreads) {
    const int64_t channel = int64_t{sample} * a.layer.channels + c;
    double sum[n_sums] = {};
    for (int64_t run = channel * a.runs; run < (channel + 1) * a.runs; run++)
#pragma unroll
      for (int s = 0; s < n_sums; s++) sum[s] += a.run_sums[run * n_sums + s];
    const bool weighted = PASS == Pass::backward || PASS == Pass::backward_tangent;
    const double gamma = weighted && a.layer.normalised ? double{a.parameters.gamma[c]} : 1.0;
#pragma unroll
    for (int s = 0; s < n_sums; s++) {
      a.channel_sums[channel * n_sums + s] = sum[s];
      of_sample[s] += gamma * sum[s];
    }
  }
  warp_sums(of_sample);
  if (thread % 32 == 0)
#pragma unroll
    for (int s = 0; s < n_sums; s++) of_warp[thread / 32 * n_sums + s] = of_sample[s];
  __syncthreads();
  if (thread != 0) return;
  double mean[n_sums] = {};
  const double count = static_cast<double>(a.layer.channels * a.layer.voxels);
#pragma unroll
  for (int s = 0; s < n_sums; s++) {
    for (int w = 0; w < kWarps; w++) mean[s] += of_warp[w * n_sums + s];
    mean[s] = a.layer.normalised ? mean[s] / count : 0.0;
  }
  if constexpr (PASS == Pass::forward) {
    const double x0 = double{a.x[int64_t{sample} * a.layer.channels * a.layer.voxels]};
    const double variance = fmax(mean[1] - mean[0] * mean[0], 0.0);
    a.moments[sample] =
        a.layer.normalised ? NormMoments{x0 + mean[0], 1.0 / sqrt(variance + a.layer.eps)} : NormMoments{0.0, 1.0};
  } else if constexpr (PASS == Pass::tangent) {
    a.tangent_moments[sample] = {mean[0], mean[1]};
  } else if constexpr (PASS == Pass::backward) {
    a.means[sample] = {mean[0], mean[1], 0.0, 0.0, 0.0};
  } else {
    const TangentMoments m = a.tangent_moments[sample];
    a.means[sample] = {mean[0], mean[1], mean[2], mean[3], mean[4] - mean[2] * m.mean - mean[3] * m.along};
  }
}

template <Pass PASS>
__global__ void __launch_bounds__(kThreads) norm_apply_kernel(NormArguments a) {
  Run run;
  if (!run_of_warp(a, &run)) return;
  const Affine c = affine_of(a, run);
  constexpr bool along = PASS == Pass::tangent || PASS == Pass::backward_tangent;
  constexpr bool back = PASS == Pass::backward || PASS == Pass::backward_tangent;
  const TangentMoments tm = along ? a.tangent_moments[run.sample] : TangentMoments{};
  const SampleMeans k = back ? a.means[run.sample] : SampleMeans{};
  const auto xt_mean = static_cast<float>(tm.mean), xt_along = static_cast<float>(tm.along);
  const auto p_mean = static_cast<float>(k.p), hp = static_cast<float>(k.hp);
  const auto q_mean = static_cast<float>(k.q), hq = static_cast<float>(k.hq), both = static_cast<float>(k.both);
  // What is read at a voxel is read before anything is written there: dx may be da, dxt dat.
#pragma unroll 4
  for (int64_t i = run.first + static_cast<int>(threadIdx.x % 32); i < run.last; i += 32) {
    const Activation v = activation_of(c, a.x[i]);
    const float carry = v.slope * c.gamma;
    if constexpr (PASS == Pass::forward) {
      a.to[i] = v.slope * v.t;
    } else if constexpr (PASS == Pass::backward) {
      a.to[i] = c.scale * (carry * a.da[i] - p_mean - v.h * hp);
    } else {
      const float jxt = c.scale * (a.xt[i] - xt_mean - v.h * xt_along);
      if constexpr (PASS == Pass::tangent) {
        a.to_tangent[i] = carry * jxt;
      } else {
        const float jp = c.scale * (carry * a.da[i] - p_mean - v.h * hp);
        const float jq = c.scale * (carry * a.dat[i] - q_mean - v.h * hq);
        a.to[i] = jp - c.scale * (xt_along * jq + hq * jxt + c.scale * v.h * both);
        a.to_tangent[i] = jq;
      }
    }
  }
}

template <Pass PASS>
__global__ void __launch_bounds__(kThreads) norm_parameters_kernel(NormArguments a) {
  constexpr int n_sums = sums_of<PASS>;
  const int c = static_cast<int>(blockIdx.x * kThreads + threadIdx.x);
  if (c >= a.layer.channels) return;
  double dgamma = 0, dbeta = 0;
  for (int sample = 0; sample < a.n; sample++) {
    const double* sum = a.channel_sums + (int64_t{sample} * a.layer.channels + c) * n_sums;
    dbeta += sum[0];
    dgamma += sum[1];
    if constexpr (PASS == Pass::backward_tangent) {
      const TangentMoments m = a.tangent_moments[sample];
      dgamma += a.moments[sample].scale * (sum[4] - m.mean * sum[2] - m.along * sum[3]);
    }
  }
  a.gradients.dbeta[c] += static_cast<float>(dbeta);
  if (a.gradients.dgamma) a.gradients.dgamma[c] += static_cast<float>(dgamma);
}

dim3 blocks_for(int64_t n, int64_t of_block) {
  return dim3(static_cast<unsigned>((n + of_block - 1) / of_block));
}

NormArguments arguments_of(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                           const NormMoments* moments, double* partial) {
  const int64_t runs = runs_of(layer), rows = int64_t{n} * layer.channels;
  NormArguments a{};
  a.layer = layer;
  a.n = n;
  a.runs = runs;
  a.parameters = p;
  a.x = x;
  a.moments = const_cast<NormMoments*>(moments);  // written by the forward pass alone
  a.run_sums = partial;
  a.channel_sums = a.run_sums + rows * runs * kMostSums;
  a.means = reinterpret_cast<SampleMeans*>(a.channel_sums + rows * kMostSums);
  return a;
}

template <Pass PASS>
void run_pass(const NormArguments& a, Stream stream) {
  const dim3 warps = blocks_for(int64_t{a.n} * a.layer.channels * a.runs, kWarps);
  const bool trained = a.gradients.dbeta != nullptr, has_sums = a.layer.normalised || trained;
  if (has_sums) SR_LAUNCH(norm_sums_kernel<PASS>, warps, dim3(kThreads), 0, stream, a);
  SR_LAUNCH(norm_settle_kernel<PASS>, dim3(static_cast<unsigned>(a.n)), dim3(kThreads), 0, stream, a, has_sums);
  SR_LAUNCH(norm_apply_kernel<PASS>, warps, dim3(kThreads), 0, stream, a);
  if constexpr (PASS == Pass::backward || PASS == Pass::backward_tangent)
    if (trained)
      SR_LAUNCH(norm_parameters_kernel<PASS>, blocks_for(a.layer.channels, kThreads), dim3(kThreads), 0, stream, a);
}

// ---- what is no layer ----

__device__ __forceinline__ int64_t global_thread() {
  return int64_t{blockIdx.x} * kThreads + threadIdx.x;
}

// grid: (runs of voxels, samples)
__global__ void __launch_bounds__(kThreads)
    interpolate_kernel(int64_t voxels, const float* epsilon, const float* real, const float* fake, float* x) {
  const int64_t v = global_thread();
  if (v >= voxels) return;
  const int64_t i = int64_t{blockIdx.y} * voxels + v;
  const float e = epsilon[blockIdx.y];
  x[i] = e * real[i] + (1.0f - e) * fake[i];
}

// grid: samples. An image is no more than a block has soon read.
__global__ void __launch_bounds__(kThreads)
    penalty_direction_kernel(int64_t voxels, const float* g, double weight, double* norms, float* v) {
  SR_SHARED(double, scratch, [kWarps]);
  SR_SHARED(double, factor, );
  const int64_t first = int64_t{blockIdx.x} * voxels, last = first + voxels;
  double squares = 0;
  for (int64_t i = first + threadIdx.x; i < last; i += kThreads) squares += double{g[i]} * double{g[i]};
  const double norm = sqrt(block_sum<kThreads>(squares, scratch));
  if (threadIdx.x == 0) {
    norms[blockIdx.x] = norm;
    factor = norm > 0.0 ? weight * (norm - 1.0) / norm : 0.0;
  }
  __syncthreads();
  for (int64_t i = first + threadIdx.x; i < last; i += kThreads) v[i] = static_cast<float>(factor * double{g[i]});
}

__global__ void __launch_bounds__(kThreads) add_scaled_kernel(int64_t n, float factor, const float* from, float* to) {
  const int64_t i = global_thread();
  if (i < n) to[i] = fmaf(factor, from[i], to[i]);
}

__global__ void __launch_bounds__(kThreads) fill_kernel(int64_t n, float value, float* to) {
  const int64_t i = global_thread();
  if (i < n) to[i] = value;
}

}  // namespace

int64_t norm_lrelu_partial(const NormLrelu& layer, int n) {
  static_assert(sizeof(SampleMeans) == kMostSums * sizeof(double));
  return int64_t{n} * kMostSums * (layer.channels * (runs_of(layer) + 1) + 1);
}

Result norm_lrelu_forward(const NormLrelu& layer, int n, NormParameters<float> p, const float* x, NormMoments* moments,
                          double* partial, float* a, Stream stream) {
  NormArguments arguments = arguments_of(layer, n, p, x, moments, partial);
  arguments.to = a;
  run_pass<Pass::forward>(arguments, stream);
  return launched("a step of the critic");
}

Result norm_lrelu_backward(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                           const NormMoments* moments, const float* da, double* partial, float* dx,
                           NormGradients<float> gradients, Stream stream) {
  NormArguments a = arguments_of(layer, n, p, x, moments, partial);
  a.da = da;
  a.to = dx;
  a.gradients = gradients;
  run_pass<Pass::backward>(a, stream);
  return launched("a step of the critic");
}

Result norm_lrelu_tangent(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                          const NormMoments* moments, const float* xt, TangentMoments* tangent_moments, double* partial,
                          float* at, Stream stream) {
  NormArguments a = arguments_of(layer, n, p, x, moments, partial);
  a.xt = xt;
  a.tangent_moments = tangent_moments;
  a.to_tangent = at;
  run_pass<Pass::tangent>(a, stream);
  return launched("a step of the critic");
}

Result norm_lrelu_backward_tangent(const NormLrelu& layer, int n, NormParameters<float> p, const float* x,
                                   const float* xt, const NormMoments* moments, const TangentMoments* tangent_moments,
                                   const float* da, const float* dat, double* partial, float* dx, float* dxt,
                                   NormGradients<float> gradients, Stream stream) {
  NormArguments a = arguments_of(layer, n, p, x, moments, partial);
  a.xt = xt;
  a.tangent_moments = const_cast<TangentMoments*>(tangent_moments);  // written by the tangent pass alone
  a.da = da;
  a.dat = dat;
  a.to = dx;
  a.to_tangent = dxt;
  a.gradients = gradients;
  run_pass<Pass::backward_tangent>(a, stream);
  return launched("a step of the critic");
}

Result interpolate(int n, int64_t voxels, const float* epsilon, const float* real, const float* fake, float* x,
                   Stream stream) {
  const dim3 grid(blocks_for(voxels, kThreads).x, static_cast<unsigned>(n));
  SR_LAUNCH(interpolate_kernel, grid, dim3(kThreads), 0, stream, voxels, epsilon, real, fake, x);
  return launched("a step of the critic");
}

Result penalty_direction(int n, int64_t voxels, const float* g, double weight, double* norms, float* v, Stream stream) {
  SR_LAUNCH(penalty_direction_kernel, dim3(static_cast<unsigned>(n)), dim3(kThreads), 0, stream, voxels, g, weight,
            norms, v);
  return launched("a step of the critic");
}

Result add_scaled(int64_t n, float factor, const float* from, float* to, Stream stream) {
  SR_LAUNCH(add_scaled_kernel, blocks_for(n, kThreads), dim3(kThreads), 0, stream, n, factor, from, to);
  return launched("a step of the critic");
}

Result fill(int64_t n, float value, float* to, Stream stream) {
  SR_LAUNCH(fill_kernel, blocks_for(n, kThreads), dim3(kThreads), 0, stream, n, value, to);
  return launched("a step of the critic");
}

}  // namespace sr::cuda
