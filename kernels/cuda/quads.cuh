// Four neighbouring channels of one voxel, moved as one: the unit in which feature maps lie on the device
// (kernels/cuda/types.h). In registers they are always float32.
#pragma once

#include <type_traits>

#include "kernels/cuda/conv3d.h"
#include "kernels/cuda/portability.h"

namespace sr::cuda {

struct Quad {
  float c[4];
};

// Storage of a quad: 16 bytes of float, 8 of half or bfloat16.
template <class T>
struct alignas(4 * sizeof(T)) StoredQuad {
  T c[4];
};

__device__ __forceinline__ float to_float(float v) {
  return v;
}
__device__ __forceinline__ float to_float(__half v) {
  return __half2float(v);
}
__device__ __forceinline__ float to_float(__nv_bfloat16 v) {
  return __bfloat162float(v);
}

template <class T>
__device__ __forceinline__ T from_float(float v);
template <>
__device__ __forceinline__ float from_float<float>(float v) {
  return v;
}
template <>
__device__ __forceinline__ __half from_float<__half>(float v) {
  return __float2half_rn(v);
}
template <>
__device__ __forceinline__ __nv_bfloat16 from_float<__nv_bfloat16>(float v) {
  return __float2bfloat16_rn(v);
}

template <class T>
__device__ __forceinline__ Quad load_quad(const StoredQuad<T>* p) {
  const StoredQuad<T> stored = *p;  // one 16- or 8-byte load
  Quad q;
#pragma unroll
  for (int i = 0; i < 4; i++) q.c[i] = to_float(stored.c[i]);
  return q;
}

template <class T>
__device__ __forceinline__ void store_quad(StoredQuad<T>* p, const float* c) {
  StoredQuad<T> stored;
#pragma unroll
  for (int i = 0; i < 4; i++) stored.c[i] = from_float<T>(c[i]);
  *p = stored;
}

// t for t >= 0, exp(t) - 1 below. Near zero the difference loses relative, not absolute accuracy: 1e-7.
__device__ __forceinline__ float elu(float t) {
  return t >= 0.0f ? t : __expf(t) - 1.0f;
}

__device__ __forceinline__ float prelu(float t, float slope) {
  return t < 0.0f ? slope * t : t;
}

// The prologue of a run of channels of one patch: act(scale x + shift), or where scale is null the channels as they
// are.
struct Activation {
  const float *scale, *shift;
  const float* slope;  // of PReLU; null: ELU
};

__device__ __forceinline__ Activation activation_of(const DevicePrologue& p, int patch, int channel) {
  if (!p.scale) return {};
  const int64_t at = patch * p.patch_stride + channel;
  return {p.scale + at, p.shift + at, p.slope ? p.slope + channel : nullptr};
}

// The first four channels of the run.
__device__ __forceinline__ Quad activate(Quad x, const Activation& a) {
  if (!a.scale) return x;
#pragma unroll
  for (int i = 0; i < 4; i++) x.c[i] = fmaf(a.scale[i], x.c[i], a.shift[i]);
#pragma unroll
  for (int i = 0; i < 4; i++) x.c[i] = a.slope ? prelu(x.c[i], a.slope[i]) : elu(x.c[i]);
  return x;
}

// Where quads of a run of channels of one patch begin.
template <class T>
__device__ __forceinline__ StoredQuad<T>* quads_of(const FeatureMaps& maps, int first_channel, int patch) {
  const int64_t voxels = int64_t{maps.size.d} * maps.size.h * maps.size.w;
  T* data = static_cast<T*>(maps.data) + patch * maps.patch_stride + first_channel * voxels;
  return reinterpret_cast<StoredQuad<T>*>(data);
}

// Adds `N` numbers over the threads of a block, in a fixed order; thread 0 has the result after it. scratch: shared
// memory for N numbers per warp. All threads of the block take part.
template <int N>
__device__ __forceinline__ void block_sums(float (&sum)[N], float* scratch, int thread, int n_threads) {
  const int lane = thread & 31, warp = thread >> 5;
#pragma unroll
  for (int i = 0; i < N; i++)
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum[i] += __shfl_xor_sync(0xffffffffu, sum[i], step);
  if (lane == 0)
#pragma unroll
    for (int i = 0; i < N; i++) scratch[warp * N + i] = sum[i];
  __syncthreads();
  if (thread == 0)
    for (int w = 1; w < n_threads / 32; w++)
#pragma unroll
      for (int i = 0; i < N; i++) sum[i] += scratch[w * N + i];
}

// The same of N pairs (sum, sum of squares), with scratch for as many.
template <int N>
__device__ __forceinline__ void block_sums(float (&sum)[N], float (&squares)[N], float* scratch, int thread,
                                           int n_threads) {
  block_sums<N>(sum, scratch, thread, n_threads);
  block_sums<N>(squares, scratch + n_threads / 32 * N, thread, n_threads);
}

// Writes what block_sums left in thread 0 to its part of partial_sums (kernels/cuda/api.h).
template <int N>
__device__ __forceinline__ void store_sums(const float (&sum)[N], const float (&squares)[N], float* partial_sums,
                                           int patch, int co, int first, int part, int n_parts) {
#pragma unroll
  for (int i = 0; i < N; i++) {
    float* p = partial_sums + ((int64_t{patch} * co + first + i) * n_parts + part) * 2;
    p[0] = sum[i];
    p[1] = squares[i];
  }
}

// How many tiles cover n.
constexpr int tiles(int n, int tile) {
  return (n + tile - 1) / tile;
}

// f(std::integral_constant<int, N>) for the one of the Ns that n is; for the last where it is none of the others.
template <int N, int... Ns, class F>
auto with_constant(int n, F f) {
  if constexpr (sizeof...(Ns) > 0)
    if (n != N) return with_constant<Ns...>(n, f);
  return f(std::integral_constant<int, N>());
}

// What a convolution over channels of the feature maps is launched with. Weight: the type in which its kernel reads
// packed weights.
template <class Weight>
struct ConvArguments {
  FeatureMaps x, y;
  int x_first, y_first;  // channels
  int ci, co;
  const Weight* weights;
  const float* bias;  // [co] or null
  DevicePrologue prologue;
  float* partial_sums;  // or null
};

template <class Weight>
ConvArguments<Weight> arguments_of(const Conv3dForward& f) {
  return {.x = f.x.maps,
          .y = f.y.maps,
          .x_first = f.x.channels.first,
          .y_first = f.y.channels.first,
          .ci = f.shape.ci,
          .co = f.shape.co,
          .weights = static_cast<const Weight*>(f.packed_weights),
          .bias = f.bias,
          .prologue = f.prologue,
          .partial_sums = f.partial_sums};
}

// f(element, element) for the storage type of a precision: with_storage(p, [&](auto zero) { using T = decltype(zero);
// })
template <class F>
auto with_storage(Precision precision, F f) {
  if (precision == Precision::f16) return f(__half{});
  if (precision == Precision::bf16) return f(__nv_bfloat16{});
  return f(float{});
}

}  // namespace sr::cuda
