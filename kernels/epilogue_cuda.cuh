// What a convolution does with CO outputs of a voxel that it has in registers: stores them as features, or, where they
// are da of a data gradient, takes them on to the gradients. Either way their sums grow.
#pragma once

#include "kernels/quads_cuda.cuh"

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

// elu'(t): 1 for t >= 0, exp(t) below.
__device__ __forceinline__ float elu_slope(float t) {
  return t >= 0.0f ? 1.0f : __expf(t);
}

// Where da goes: through the ELU and the scale of the features it belongs to, onto their gradients.
struct GradientTarget {
  FeatureMaps f, g;
  int first;                // the first channel of x
  DevicePrologue prologue;  // scale null: dt = da
  bool accumulate;
};

// dt = da elu'(t) of CO channels of one voxel, from channel first of x on: scale dt is added to (or becomes) the
// gradient, dt and dt x are added to the sums.
template <int CO>
__device__ __forceinline__ void store_gradient(const GradientTarget& to, int patch, int first, int64_t voxel,
                                               const float (&da)[CO], float (&sum)[CO], float (&sum_times_x)[CO]) {
  const int64_t voxels = int64_t{to.f.size.d} * to.f.size.h * to.f.size.w;
  const StoredQuad<float>* f = quads_of<float>(to.f, to.first + first, patch) + voxel;
  StoredQuad<float>* g = quads_of<float>(to.g, to.first + first, patch) + voxel;
#pragma unroll
  for (int c = 0; c < CO; c += 4) {
    const Quad x = load_quad(f + c / 4 * voxels);
    Quad gradient = {};
    if (to.accumulate) gradient = load_quad(g + c / 4 * voxels);
#pragma unroll
    for (int i = 0; i < 4; i++) {
      float dt = da[c + i], scale = 1.0f;
      if (to.prologue.scale) {
        const int64_t at = patch * to.prologue.patch_stride + first + c + i;
        scale = to.prologue.scale[at];
        dt *= elu_slope(fmaf(scale, x.c[i], to.prologue.shift[at]));
      }
      gradient.c[i] = fmaf(scale, dt, gradient.c[i]);
      sum[c + i] += dt;
      sum_times_x[c + i] = fmaf(dt, x.c[i], sum_times_x[c + i]);
    }
    store_quad(g + c / 4 * voxels, gradient.c);
  }
}

inline GradientTarget target_of(const Conv3dBackwardData& b) {
  return {b.f, b.g, b.x.first, b.prologue, b.accumulate};
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
