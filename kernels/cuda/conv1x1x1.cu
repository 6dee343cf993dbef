// 1x1x1 convolutions on CUDA cores: the compressors (up to 504 channels -> 2k), the bottlenecks (batch-norm and
// activation on the way in, -> 4k), the reconstruction's first layer (-> 8k) and the combination (-> 1).
//
//   y[co](v) = bias[co] + sum over ci of weight[co][ci] * a[ci](v),   a = x or act(scale x + shift)
//
// No voxel meets another, so inputs go from device memory to registers: a thread makes CO channels of VOXELS voxels
// that lie a block's width apart, every load of a warp is 32 neighbouring quads. Weights lie in shared memory, 32 input
// channels at a time, read by the whole warp at once: CO / 4 reads to CO * VOXELS multiply-adds. The combination reads
// everything once and multiplies once: bound by device memory.
//
// Backward (kernels/cuda/epilogue.cuh), inputs may also be an image of gradients, that of the combination.
#include "kernels/cuda/check.h"
#include "kernels/cuda/conv3d_kernels.h"
#include "kernels/cuda/epilogue.cuh"

namespace sr::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kChunk = 32;  // input channels whose weights lie in shared memory

// Output channels of a thread; more voxels the fewer they are, 96 accumulators or less.
int group_of(int co) {
  if (co == 1) return 1;
  for (const int group : {48, 24, 16, 8})
    if (co % group == 0) return group;
  return 4;
}
template <int CO>
constexpr int voxels_of = CO == 48   ? 2
                          : CO >= 16 ? 4
                          : CO >= 4  ? 8
                                     : 4;

// On a multiprocessor, of 64 registers a thread; 0: as many as there is room for.
template <int CO>
constexpr int blocks_in_flight = CO == 1 ? 8 : 0;

// f(std::integral_constant<int, CO>) for the group of a layer with co outputs.
template <class F>
auto with_group(int co, F f) {
  return with_constant<1, 4, 8, 16, 24, 48>(group_of(co), f);
}

template <int CO>
int blocks_of(Size3 s) {
  constexpr int64_t block = int64_t{kThreads} * voxels_of<CO>;
  return static_cast<int>((s.voxels() + block - 1) / block);
}

struct Arguments : ConvArguments<float> {  // weights: [co / CO][ci][CO]
  float* image;                            // CO = 1: the output [patch][voxel]; backward, ci = 1: the input
  GradientTarget target;                   // backward: where the output goes
};

// grid: (runs of voxels of the patch, co / CO, patches)
template <class T, int CO, bool kBackward>
__global__ void __launch_bounds__(kThreads, blocks_in_flight<CO>) conv1x1x1(Arguments a) {
  constexpr int n_voxels = voxels_of<CO>;
  SR_SHARED(float, weights, [kChunk * CO]);
  SR_SHARED(float, sums_scratch, [kThreads / 32 * CO * 2]);

  const int thread = static_cast<int>(threadIdx.x);
  const int patch = static_cast<int>(blockIdx.z), group = static_cast<int>(blockIdx.y);
  const int part = static_cast<int>(blockIdx.x);
  const int voxels = a.x.size.d * a.x.size.h * a.x.size.w;
  const int first = part * kThreads * n_voxels + thread;

  float acc[n_voxels][CO];
#pragma unroll
  for (int c = 0; c < CO; c++) {
    const float bias = a.bias ? a.bias[group * CO + c] : 0.0f;
#pragma unroll
    for (int v = 0; v < n_voxels; v++) acc[v][c] = bias;
  }

  const StoredQuad<T>* x = quads_of<T>(a.x, a.x_first, patch);
  for (int chunk = 0; chunk < a.ci; chunk += kChunk) {
    const int n = min(kChunk, a.ci - chunk);
    const float* w = a.weights + (int64_t{group} * a.ci + chunk) * CO;
    const int stored = kBackward ? (n + 3) / 4 * 4 : n;  // a single channel counts as a quad with three that are zero
    for (int i = thread; i < stored * CO; i += kThreads) weights[i] = i < n * CO ? w[i] : 0.0f;
    __syncthreads();
#pragma unroll 2
    for (int ci = 0; ci < n; ci += 4) {
      const Activation activation = activation_of(a.prologue, patch, chunk + ci);
      Quad in[n_voxels];
#pragma unroll
      for (int v = 0; v < n_voxels; v++) {
        const int voxel = min(first + v * kThreads, voxels - 1);  // those past the end are not kept
        if (kBackward && a.ci == 1)
          in[v] = {a.image[int64_t{patch} * voxels + voxel]};
        else
          in[v] = activate(load_quad(x + int64_t{(chunk + ci) / 4} * voxels + voxel), activation);
      }
#pragma unroll
      for (int i = 0; i < 4; i++)
#pragma unroll
        for (int c = 0; c < CO; c++) {
          const float weight = weights[(ci + i) * CO + c];
#pragma unroll
          for (int v = 0; v < n_voxels; v++) acc[v][c] = fmaf(weight, in[v].c[i], acc[v][c]);
        }
    }
    __syncthreads();  // before the next chunk's weights replace these
  }

  float* image = CO == 1 ? a.image + int64_t{patch} * voxels : nullptr;
  const auto each = [&](auto f) {
#pragma unroll
    for (int v = 0; v < n_voxels; v++)
      if (first + v * kThreads < voxels) f(first + v * kThreads, acc[v]);
  };
  finish<T, CO, kBackward>({a.y, a.y_first, image, a.target, patch, group * CO, a.co, a.partial_sums}, sums_scratch,
                           thread, kThreads, each);
}

template <class T, int CO, bool kBackward = false>
void launch(const Arguments& a, int n_patches, Stream stream) {
  const dim3 grid(static_cast<unsigned>(blocks_of<CO>(a.x.size)), static_cast<unsigned>(a.co / CO),
                  static_cast<unsigned>(n_patches));
  SR_LAUNCH((conv1x1x1<T, CO, kBackward>), grid, dim3(kThreads), 0, stream, a);
}

}  // namespace

int conv1x1x1_parts(const ConvWeights& shape, Size3 patch) {
  return with_group(shape.co, [&](auto group) { return blocks_of<group()>(patch); });
}

void conv1x1x1_pack(const ConvWeights& conv, float* packed) {
  const int group = group_of(conv.co);
  for (int co = 0; co < conv.co; co++)
    for (int ci = 0; ci < conv.ci; ci++)
      packed[(int64_t{co / group} * conv.ci + ci) * group + co % group] = conv.weight[int64_t{co} * conv.ci + ci];
}

Result conv1x1x1_forward(const Conv3dForward& f, Stream stream) {
  const Arguments a = {arguments_of<float>(f), f.y.image, {}};
  const int n = f.x.maps.n_patches;
  with_storage(f.precision, [&](auto zero) {
    using T = decltype(zero);
    // Of what is stored in 2 bytes, tensor cores make all layers but the combination (kernels/cuda/conv3d.cu).
    if constexpr (sizeof(T) == 2)
      launch<T, 1>(a, n, stream);
    else
      with_group(f.shape.co, [&](auto group) { launch<T, group()>(a, n, stream); });
  });
  return launched("convolution");
}

Result conv1x1x1_backward(const Conv3dBackwardData& b, Stream stream) {
  Arguments a = {arguments_of(b), b.dy.image, target_of(b)};
  a.x.size = b.f.size;  // an image has no maps that say it
  with_group(b.shape.co, [&](auto group) {
    if constexpr (group() > 1) launch<float, group(), true>(a, b.f.n_patches, stream);
  });
  return launched("the gradient of a convolution");
}

}  // namespace sr::cuda
