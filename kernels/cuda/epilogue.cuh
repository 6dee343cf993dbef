// What a convolution does with CO outputs of a voxel that it has in registers: stores them as features, or, where they
// are da of a data gradient, takes them on to the gradients. Either way their sums grow.
#pragma once

#include "kernels/cuda/conv3d.h"
#include "kernels/cuda/quads.cuh"

namespace sr::cuda {

// Channels y_first + first and on of the maps; CO = 1: the patch's image, [voxel].
template <class T, int CO>
__device__ __forceinline__ void store_outputs(const FeatureMaps& maps, int y_first, float* image, int patch, int first,
                                              int64_t voxel, const float (&out)[CO], float (&sum)[CO],
                                              float (&squares)[CO]) {
  if constexpr (CO == 1) {
    image[voxel] = out[0];
  } else {
    const int64_t voxels = int64_t{maps.size.d} * maps.size.h * maps.size.w;
    StoredQuad<T>* y = quads_of<T>(maps, y_first + first, patch) + voxel;
#pragma unroll
    for (int c = 0; c < CO; c += 4) store_quad(y + c / 4 * voxels, &out[c]);
  }
#pragma unroll
  for (int c = 0; c < CO; c++) {
    sum[c] += out[c];
    squares[c] = fmaf(out[c], out[c], squares[c]);
  }
}

// Where da goes: through the activation and the scale of the features it belongs to, onto their gradients.
struct GradientTarget {
  FeatureMaps f, g;
  int first;                // the first channel of x
  DevicePrologue prologue;  // scale null: dt = da
  bool accumulate;
  float* partial_slopes;  // or null
};

// dt = da act'(t) of CO channels of one voxel, from channel first of x on: scale dt is added to (or becomes) the
// gradient, dt and dt x are added to the sums.
template <int CO>
__device__ __forceinline__ void store_gradient(const GradientTarget& to, int patch, int first, int64_t voxel,
                                               const float (&da)[CO], float (&sum)[CO], float (&sum_times_x)[CO]) {
  const int64_t voxels = int64_t{to.f.size.d} * to.f.size.h * to.f.size.w;
  const StoredQuad<float>* f = quads_of<float>(to.f, to.first + first, patch) + voxel;
  StoredQuad<float>* g = quads_of<float>(to.g, to.first + first, patch) + voxel;
  const Activation activation = activation_of(to.prologue, patch, first);
#pragma unroll
  for (int c = 0; c < CO; c += 4) {
    const Quad x = load_quad(f + c / 4 * voxels);
    Quad gradient = {};
    if (to.accumulate) gradient = load_quad(g + c / 4 * voxels);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      float dt = da[c + i], scale = 1.0f;
      if (activation.scale) {
        scale = activation.scale[c + i];
        const float t = fmaf(scale, x.c[i], activation.shift[c + i]);
        if (t < 0.0f) dt *= activation.slope ? activation.slope[c + i] : __expf(t);
      }
      gradient.c[i] = fmaf(scale, dt, gradient.c[i]);
      sum[c + i] += dt;
      sum_times_x[c + i] = fmaf(dt, x.c[i], sum_times_x[c + i]);
    }
    store_quad(g + c / 4 * voxels, gradient.c);
  }
}

inline GradientTarget target_of(const Conv3dBackwardData& b) {
  return {b.f, b.g, b.x.first, b.prologue, b.accumulate, b.partial_slopes};
}

// Adds da t where t < 0.
template <int CO>
__device__ __forceinline__ void add_slopes(const GradientTarget& from, int patch, int first, int64_t voxel,
                                           const float (&da)[CO], float (&sum)[CO]) {
  const int64_t voxels = int64_t{from.f.size.d} * from.f.size.h * from.f.size.w;
  const StoredQuad<float>* f = quads_of<float>(from.f, from.first + first, patch) + voxel;
  const Activation activation = activation_of(from.prologue, patch, first);
#pragma unroll
  for (int c = 0; c < CO; c += 4) {
    const Quad x = load_quad(f + c / 4 * voxels);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float t = fmaf(activation.scale[c + i], x.c[i], activation.shift[c + i]);
      sum[c + i] = fmaf(da[c + i], fminf(t, 0.0f), sum[c + i]);
    }
  }
}

// Writes sums that thread 0 has to partial_slopes (kernels/cuda/conv3d.h).
template <int N>
__device__ __forceinline__ void store_slopes(const float (&sum)[N], float* partial_slopes, int patch, int n_channels,
                                             int first) {
  float* to = partial_slopes + (int64_t{patch} * gridDim.x + blockIdx.x) * n_channels + first;
#pragma unroll
  for (int i = 0; i < N; i++) to[i] = sum[i];
}

// N of an array's numbers, from c on.
template <int N, int CO>
__device__ __forceinline__ const float (&channels_from(const float (&all)[CO], int c))[N] {
  return reinterpret_cast<const float(&)[N]>(all[c]);
}

// A block's outputs: channels first .. first + CO - 1 of the layer's co, of one patch.
struct BlockOutputs {
  const FeatureMaps& y;
  int y_first;
  float* image;  // of the patch; CO = 1
  const GradientTarget& target;
  int patch, first, co;
  float* partial_sums;
};

// Stores all of a thread's outputs, or takes them on to the gradients, and adds up the block's sums. each(f) calls
// f(voxel, out) for each voxel of the thread. scratch: 2 CO floats a warp. All threads of the block take part; the
// grid's x are the parts of the patch.
template <class T, int CO, bool kBackward, class Each>
__device__ __forceinline__ void finish(const BlockOutputs& to, float* scratch, int thread, int n_threads, Each each) {
  // Beside the outputs there are no registers for all sums of a gradient: slopes' go by themselves, 48 channels by
  // half.
  constexpr int kAtOnce = kBackward && CO > 24 ? CO / 2 : CO;
#pragma unroll
  for (int c = 0; c < CO; c += kAtOnce) {
    const int first = to.first + c;
    float sum[kAtOnce] = {}, squares[kAtOnce] = {};
    if (c > 0) __syncthreads();  // the sums before these have been read
    if constexpr (kBackward)
      if (to.target.partial_slopes) {
        each([&](int64_t voxel, const float(&da)[CO]) {
          add_slopes<kAtOnce>(to.target, to.patch, first, voxel, channels_from<kAtOnce>(da, c), sum);
        });
        block_sums<kAtOnce>(sum, scratch, thread, n_threads);
        if (thread == 0) store_slopes<kAtOnce>(sum, to.target.partial_slopes, to.patch, to.co, first);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < kAtOnce; i++) sum[i] = 0.0f;
      }
    each([&](int64_t voxel, const float(&out)[CO]) {
      if constexpr (kBackward)
        store_gradient<kAtOnce>(to.target, to.patch, first, voxel, channels_from<kAtOnce>(out, c), sum, squares);
      else
        store_outputs<T, CO>(to.y, to.y_first, to.image, to.patch, first, voxel, out, sum, squares);
    });
    if (!to.partial_sums) continue;
    block_sums<kAtOnce>(sum, squares, scratch, thread, n_threads);
    if (thread == 0)
      store_sums<kAtOnce>(sum, squares, to.partial_sums, to.patch, to.co, first, static_cast<int>(blockIdx.x),
                          static_cast<int>(gridDim.x));
  }
}

// What a forward kernel is launched with to bring dy back to da.
inline ConvArguments<float> arguments_of(const Conv3dBackwardData& b) {
  return {.x = b.dy.maps,
          .y = b.g,
          .x_first = b.dy.channels.first,
          .y_first = b.x.first,
          .ci = b.shape.ci,
          .co = b.shape.co,
          .weights = static_cast<const float*>(b.packed_weights),
          .bias = nullptr,
          .prologue = {},
          .partial_sums = b.partial_sums};
}

// What a convolution of an image, one channel, is launched with.
struct ImageArguments {
  const float* image;
  FeatureMaps y;
  int y_first, co;
  const float* weights;   // packed
  const float* bias;      // or null
  float* partial_sums;    // or null
  GradientTarget target;  // backward: where the output goes
};

inline ImageArguments image_arguments_of(const Conv3dForward& f) {
  return {.image = f.x.image,
          .y = f.y.maps,
          .y_first = f.y.channels.first,
          .co = f.shape.co,
          .weights = static_cast<const float*>(f.packed_weights),
          .bias = f.bias,
          .partial_sums = f.partial_sums,
          .target = {}};
}

inline ImageArguments image_arguments_of(const Conv3dBackwardData& b) {
  return {.image = b.dy.image,
          .y = b.g,
          .y_first = b.x.first,
          .co = b.shape.co,
          .weights = static_cast<const float*>(b.packed_weights),
          .bias = nullptr,
          .partial_sums = b.partial_sums,
          .target = target_of(b)};
}

}  // namespace sr::cuda
