// Batch-norm's gradients, the loss, and Adam. All of it is small or bound by device memory; what is summed over many
// voxels or parts is summed in double, in an order that depends on shapes alone.
#include "kernels/cuda/training.h"

#include "kernels/cuda/block_sum.cuh"
#include "kernels/cuda/check.h"
#include "kernels/cuda/quads.cuh"

namespace sr::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kLossVoxels = 16;  // of a thread

dim3 blocks_for(int64_t n) {
  return dim3(static_cast<unsigned>((n + kThreads - 1) / kThreads));
}
__device__ __forceinline__ int64_t global_thread() {
  return int64_t{blockIdx.x} * kThreads + threadIdx.x;
}

__device__ __forceinline__ bool is_number(double v) {
  return v - v == 0.0;  // neither infinite nor NaN
}
__device__ __forceinline__ bool approves(const StepSums& s) {
  return is_number(s.loss) && is_number(s.gradient_squares);
}

// grid: (quads of channels or the image, patches)
__global__ void __launch_bounds__(kThreads) channel_totals_kernel(Operand dy, Size3 patch, float* totals) {
  SR_SHARED(double, scratch, [kThreads / 32]);
  const int thread = static_cast<int>(threadIdx.x), p = static_cast<int>(blockIdx.y);
  const int64_t voxels = int64_t{patch.d} * patch.h * patch.w;
  double sum[4] = {};
  for (int64_t v = thread; v < voxels; v += kThreads) {
    if (dy.image) {
      sum[0] += double{dy.image[p * voxels + v]};
    } else {
      const Quad q = load_quad(quads_of<float>(dy.maps, dy.channels.first + 4 * static_cast<int>(blockIdx.x), p) + v);
#pragma unroll
      for (int c = 0; c < 4; c++) sum[c] += double{q.c[c]};
    }
  }
#pragma unroll
  for (int c = 0; c < 4; c++) {
    const double total = block_sum<kThreads>(sum[c], scratch);
    const int channel = 4 * static_cast<int>(blockIdx.x) + c;
    if (thread == 0 && channel < dy.channels.count) totals[p * dy.channels.count + channel] = static_cast<float>(total);
  }
}

__global__ void __launch_bounds__(kThreads)
    reduce_parts_kernel(const float* partial, int64_t stride, int n_parts, const int* index, int64_t n, float* to) {
  const int64_t i = global_thread();
  if (i >= n) return;
  const float* from = partial + (index ? index[i] : i);
  double sum = 0;
  for (int part = 0; part < n_parts; part++) sum += double{from[part * stride]};
  to[i] = static_cast<float>(sum);
}

// Sx of kernels/conv3d_backward.h: the sum of dt (x - m) / s.
__device__ __forceinline__ double gradient_of_gamma(ChannelSums s, double mean, double variance, double eps) {
  return (s.sum_of_squares - mean * s.sum) / sqrt(variance + eps);
}

__global__ void __launch_bounds__(kThreads)
    norm_gradients_kernel(const ChannelSums* sums, int n_channels, double eps, const double* mean,
                          const double* variance, float* dgamma, float* dbeta) {
  const int c = static_cast<int>(global_thread());
  if (c >= n_channels) return;
  dgamma[c] = static_cast<float>(gradient_of_gamma(sums[c], mean[c], variance[c], eps));
  dbeta[c] = static_cast<float>(sums[c].sum);
}

__global__ void __launch_bounds__(kThreads)
    norm_carry_kernel(const ChannelSums* sums, int n_channels, double n_voxels, double eps, const double* mean,
                      const double* variance, const float* gamma, double* slope, double* offset) {
  const int c = static_cast<int>(global_thread());
  if (c >= n_channels) return;
  const double deviation = sqrt(variance[c] + eps), scale = double{gamma[c]} / deviation;
  const double a = -scale * gradient_of_gamma(sums[c], mean[c], variance[c], eps) / (n_voxels * deviation);
  slope[c] += a;
  offset[c] += -scale * sums[c].sum / n_voxels - mean[c] * a;
}

// grid: (runs of voxels, quads of channels, patches)
__global__ void __launch_bounds__(kThreads)
    add_affine_kernel(FeatureMaps f, FeatureMaps g, int first, const double* slope, const double* offset) {
  const int64_t v = global_thread(), voxels = int64_t{f.size.d} * f.size.h * f.size.w;
  if (v >= voxels) return;
  const int c = 4 * static_cast<int>(blockIdx.y), patch = static_cast<int>(blockIdx.z);
  const Quad x = load_quad(quads_of<float>(f, first + c, patch) + v);
  StoredQuad<float>* to = quads_of<float>(g, first + c, patch) + v;
  Quad gradient = load_quad(to);
#pragma unroll
  for (int i = 0; i < 4; i++)
    gradient.c[i] += fmaf(static_cast<float>(slope[c + i]), x.c[i], static_cast<float>(offset[c + i]));
  store_quad(to, gradient.c);
}

__global__ void __launch_bounds__(kThreads) clear_kernel(double* a, double* b, int n) {
  const int i = static_cast<int>(global_thread());
  if (i < n) a[i] = b[i] = 0.0;
}

__global__ void __launch_bounds__(kThreads)
    l1_loss_kernel(const float* image, const float* input, const float* target, int64_t n, float weight, float* dimage,
                   float* partial_sums) {
  SR_SHARED(double, scratch, [kThreads / 32]);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t first = int64_t{blockIdx.x} * kThreads * kLossVoxels + thread;
  double loss = 0, input_loss = 0;
  for (int i = 0; i < kLossVoxels; i++) {
    const int64_t v = first + i * kThreads;
    if (v >= n) break;
    const float difference = image[v] - target[v];
    dimage[v] = difference > 0.0f ? weight : difference < 0.0f ? -weight : 0.0f;
    loss += double{fabsf(difference)};
    input_loss += double{fabsf(input[v] - target[v])};
  }
  const double losses = block_sum<kThreads>(loss, scratch), inputs = block_sum<kThreads>(input_loss, scratch);
  if (thread != 0) return;
  partial_sums[2 * int64_t{blockIdx.x}] = static_cast<float>(losses);
  partial_sums[2 * int64_t{blockIdx.x} + 1] = static_cast<float>(inputs);
}

__global__ void __launch_bounds__(kThreads)
    gather_indexed_kernel(const float* from, const int* index, int64_t n, float* to) {
  const int64_t i = global_thread();
  if (i < n) to[i] = index[i] >= 0 ? from[index[i]] : 0.0f;
}

// grid: kSquareParts
__global__ void __launch_bounds__(kThreads) sum_of_squares_kernel(const float* row, int64_t n, double* partial) {
  SR_SHARED(double, scratch, [kThreads / 32]);
  const int64_t last = n * (int64_t{blockIdx.x} + 1) / kSquareParts;
  double squares = 0;
  for (int64_t i = n * int64_t{blockIdx.x} / kSquareParts + threadIdx.x; i < last; i += kThreads)
    squares += double{row[i]} * double{row[i]};
  const double sum = block_sum<kThreads>(squares, scratch);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

__global__ void __launch_bounds__(kThreads) add_squares_kernel(const double* partial, StepSums* sums) {
  SR_SHARED(double, scratch, [kThreads / 32]);
  double sum = 0;
  for (int i = static_cast<int>(threadIdx.x); i < kSquareParts; i += kThreads) sum += partial[i];
  const double total = block_sum<kThreads>(sum, scratch);
  if (threadIdx.x == 0) sums->gradient_squares = total;
}

__global__ void __launch_bounds__(kThreads)
    adam_step_kernel(const AdamNumbers* numbers, const StepSums* step_sums, const float* gradient, int64_t n,
                     float* parameters, float* m, float* v) {
  const int64_t i = global_thread();
  if (i >= n || !approves(*step_sums)) return;
  const AdamNumbers a = *numbers;
  const double norm = sqrt(step_sums->gradient_squares);
  const float factor = a.clip > 0.0 && norm > a.clip ? static_cast<float>(a.clip / norm) : 1.0f;
  const double g = double{factor * gradient[i]};
  const double m_now = a.beta1 * double{m[i]} + (1 - a.beta1) * g;
  const double v_now = a.beta2 * double{v[i]} + (1 - a.beta2) * g * g;
  m[i] = static_cast<float>(m_now);
  v[i] = static_cast<float>(v_now);
  parameters[i] =
      static_cast<float>(double{parameters[i]} - a.rate * a.unbias_m * m_now / (sqrt(a.unbias_v * v_now) + a.epsilon));
}

__global__ void __launch_bounds__(kThreads)
    move_running_statistics_kernel(const double* mean, const double* variance, const StepSums* step_sums, int64_t n,
                                   double momentum, double unbiased, float* running_mean, float* running_variance) {
  const int64_t i = global_thread();
  if (i >= n || !approves(*step_sums)) return;
  running_mean[i] = static_cast<float>((1 - momentum) * double{running_mean[i]} + momentum * mean[i]);
  running_variance[i] =
      static_cast<float>((1 - momentum) * double{running_variance[i]} + momentum * unbiased * variance[i]);
}

}  // namespace

Result channel_totals(const Operand& dy, Size3 patch, int n_patches, float* totals, Stream stream) {
  const dim3 grid(static_cast<unsigned>((dy.channels.count + 3) / 4), static_cast<unsigned>(n_patches));
  SR_LAUNCH(channel_totals_kernel, grid, dim3(kThreads), 0, stream, dy, patch, totals);
  return launched("a step of training");
}

Result reduce_parts(const float* partial, int64_t stride, int n_parts, const int* index, int64_t n, float* to,
                    Stream stream) {
  SR_LAUNCH(reduce_parts_kernel, blocks_for(n), dim3(kThreads), 0, stream, partial, stride, n_parts, index, n, to);
  return launched("a step of training");
}

Result norm_gradients(const ChannelSums* sums, int n_channels, double eps, const double* mean, const double* variance,
                      float* dgamma, float* dbeta, Stream stream) {
  SR_LAUNCH(norm_gradients_kernel, blocks_for(n_channels), dim3(kThreads), 0, stream, sums, n_channels, eps, mean,
            variance, dgamma, dbeta);
  return launched("a step of training");
}

Result norm_carry(const ChannelSums* sums, int n_channels, double n_voxels, double eps, const double* mean,
                  const double* variance, const float* gamma, double* slope, double* offset, Stream stream) {
  SR_LAUNCH(norm_carry_kernel, blocks_for(n_channels), dim3(kThreads), 0, stream, sums, n_channels, n_voxels, eps, mean,
            variance, gamma, slope, offset);
  return launched("a step of training");
}

Result add_affine(const FeatureMaps& f, const FeatureMaps& g, Channels channels, double* slope, double* offset,
                  Stream stream) {
  const int64_t voxels = f.size.voxels();
  const dim3 grid(blocks_for(voxels).x, static_cast<unsigned>(channels.count / 4), static_cast<unsigned>(f.n_patches));
  SR_LAUNCH(add_affine_kernel, grid, dim3(kThreads), 0, stream, f, g, channels.first, slope, offset);
  SR_LAUNCH(clear_kernel, blocks_for(channels.count), dim3(kThreads), 0, stream, slope, offset, channels.count);
  return launched("a step of training");
}

int l1_parts(int64_t n) {
  return static_cast<int>((n + kThreads * kLossVoxels - 1) / (kThreads * kLossVoxels));
}

Result l1_loss(const float* image, const float* input, const float* target, int64_t n, float weight, float* dimage,
               float* partial_sums, Stream stream) {
  SR_LAUNCH(l1_loss_kernel, dim3(static_cast<unsigned>(l1_parts(n))), dim3(kThreads), 0, stream, image, input, target,
            n, weight, dimage, partial_sums);
  return launched("a step of training");
}

Result gather_indexed(const float* from, const int* index, int64_t n, float* to, Stream stream) {
  SR_LAUNCH(gather_indexed_kernel, blocks_for(n), dim3(kThreads), 0, stream, from, index, n, to);
  return launched("a step of training");
}

Result sum_of_squares(const float* row, int64_t n, double* partial, StepSums* sums, Stream stream) {
  SR_LAUNCH(sum_of_squares_kernel, dim3(kSquareParts), dim3(kThreads), 0, stream, row, n, partial);
  SR_LAUNCH(add_squares_kernel, dim3(1), dim3(kThreads), 0, stream, partial, sums);
  return launched("a step of training");
}

Result adam_step(const AdamNumbers* numbers, const StepSums* step_sums, const float* gradient, int64_t n,
                 float* parameters, float* m, float* v, Stream stream) {
  SR_LAUNCH(adam_step_kernel, blocks_for(n), dim3(kThreads), 0, stream, numbers, step_sums, gradient, n, parameters, m,
            v);
  return launched("a step of training");
}

Result move_running_statistics(const double* mean, const double* variance, const StepSums* step_sums, int64_t n,
                               double momentum, double unbiased, float* running_mean, float* running_variance,
                               Stream stream) {
  SR_LAUNCH(move_running_statistics_kernel, blocks_for(n), dim3(kThreads), 0, stream, mean, variance, step_sums, n,
            momentum, unbiased, running_mean, running_variance);
  return launched("a step of training");
}

}  // namespace sr::cuda
