// The gradient of 1x1x1 weights on CUDA cores, a product of two tall matrices:
//
//   dweight[co][ci] = sum over patches, v of dy[co](v) a[ci](v),   a = x or act(scale x + shift)
//
// A block gathers 32 inputs x CO outputs over its share of the batch, 64 voxels at a time in shared memory. A thread
// has 4 x 4 of them in registers, for every kSlices-th voxel: 16 multiply-adds to two 16-byte reads, of which those of
// the inputs lie side by side in a warp and those of the gradients are shared. The slices are added up at the end in
// their order. Shares are cut from the batch's voxels, whatever the GPU: sums are always taken in one order.
#include "kernels/cuda/backward_weights.cuh"
#include "kernels/cuda/check.h"
#include "kernels/cuda/conv3d_kernels.h"

namespace sr::cuda {
namespace {

constexpr int kVoxels = 64;  // of a step
constexpr int kInQuads = 8;  // 32 input channels

template <int CO>
constexpr int slices_of = CO == 24 ? 4 : 128 / CO;
template <int CO>
constexpr int threads_of = kInQuads*(CO / 4) * slices_of<CO>;

int group_of(int co) {
  for (const int group : {24, 16, 8})
    if (co % group == 0) return group;
  return 4;  // also of one output, an image
}

int steps_of(Size3 s) {
  return static_cast<int>((s.voxels() + kVoxels - 1) / kVoxels);
}

// grid: (shares of the batch, groups of 32 input channels, groups of CO output channels)
template <int CO>
__global__ void __launch_bounds__(threads_of<CO>) conv1x1x1_gradient(GradientArguments a) {
  constexpr int kOutQuads = CO / 4, kSlices = slices_of<CO>, kThreads = threads_of<CO>;
  static_assert(kThreads % 32 == 0 && kVoxels % kSlices == 0);
  SR_SHARED(StoredQuad<float>, inputs, [kVoxels * kInQuads]);
  SR_SHARED(StoredQuad<float>, gradients, [kVoxels * kOutQuads]);
  SR_SHARED(StoredQuad<float>, exchange, [kThreads]);

  const int thread = static_cast<int>(threadIdx.x);
  const int in = thread % kInQuads, out = thread / kInQuads % kOutQuads, slice = thread / (kInQuads * kOutQuads);
  const int ci = static_cast<int>(blockIdx.y) * 4 * kInQuads, co = static_cast<int>(blockIdx.z) * CO;
  const int voxels = a.size.d * a.size.h * a.size.w;
  const int per_patch = (voxels + kVoxels - 1) / kVoxels, all = per_patch * a.n_patches;
  const Share share = share_of_block(all);

  float acc[4][4] = {};  // [co][ci]
  for (int step = share.first; step < share.last; step++) {
    const int patch = step / per_patch, at = step % per_patch * kVoxels;
    for (int i = thread; i < kVoxels * kInQuads; i += kThreads) {
      const int quad = i % kInQuads, voxel = at + i / kInQuads;
      Quad q = {};
      if (voxel < voxels && ci + 4 * quad < a.ci) {
        const int channel = ci + 4 * quad;
        q = activate(load_quad(quads_of<float>(a.x, a.x_first + channel, patch) + voxel),
                     activation_of(a.prologue, patch, channel));
      }
      store_quad(inputs + i, q.c);
    }
    for (int i = thread; i < kVoxels * kOutQuads; i += kThreads) {
      const int quad = i % kOutQuads, voxel = at + i / kOutQuads;
      Quad q = {};
      if (voxel < voxels) {
        if (a.dy_image)
          q.c[0] = quad == 0 ? a.dy_image[int64_t{patch} * voxels + voxel] : 0.0f;
        else
          q = load_quad(quads_of<float>(a.dy, a.dy_first + co + 4 * quad, patch) + voxel);
      }
      store_quad(gradients + i, q.c);
    }
    __syncthreads();
#pragma unroll 4
    for (int v = slice; v < kVoxels; v += kSlices) {
      const Quad x = load_quad(inputs + v * kInQuads + in), d = load_quad(gradients + v * kOutQuads + out);
#pragma unroll
      for (int o = 0; o < 4; o++)
#pragma unroll
        for (int i = 0; i < 4; i++) acc[o][i] = fmaf(d.c[o], x.c[i], acc[o][i]);
    }
    __syncthreads();  // before the next voxels replace these
  }

#pragma unroll
  for (int o = 0; o < 4; o++) {
    store_quad(exchange + thread, acc[o]);
    __syncthreads();
    const int c = co + 4 * out + o, i = ci + 4 * in;
    if (slice == 0 && c < a.co && i < a.ci) {
      Quad sum = {};
      for (int s = 0; s < kSlices; s++) {
        const Quad part = load_quad(exchange + s * kInQuads * kOutQuads + thread);
#pragma unroll
        for (int k = 0; k < 4; k++) sum.c[k] += part.c[k];
      }
      float* to = a.partial + (int64_t{share.index} * a.co + c) * a.ci + i;
#pragma unroll
      for (int k = 0; k < 4; k++) to[k] = sum.c[k];
    }
    __syncthreads();
  }
}

template <int CO>
void launch(const GradientArguments& a, Stream stream) {
  const dim3 grid(static_cast<unsigned>(conv1x1x1_gradient_parts(a.size, a.n_patches)),
                  static_cast<unsigned>(tiles(a.ci, 4 * kInQuads)), static_cast<unsigned>(tiles(a.co, CO)));
  SR_LAUNCH(conv1x1x1_gradient<CO>, grid, dim3(threads_of<CO>), 0, stream, a);
}

}  // namespace

int conv1x1x1_gradient_parts(Size3 patch, int n_patches) {
  return shares_of(steps_of(patch) * n_patches);
}

Result conv1x1x1_gradient(const Conv3dBackwardWeights& b, Stream stream) {
  const GradientArguments a = arguments_of(b);
  with_constant<4, 8, 16, 24>(group_of(b.shape.co), [&](auto group) { launch<group()>(a, stream); });
  return launched("the gradient of weights");
}

}  // namespace sr::cuda
