// Gradients of weights: correlations of what a convolution read with the gradients of what it wrote, summed over all
// voxels. Voxels are the SIMD axis, so here the sums run along the vectors. Included once per SIMD target.
//
//   direct    dweight[co][ci][kz][ky][kx] = sum over v of dy[co](v) a[ci](v + tap)
//   winograd  on tiles over (z, y), as in the forward pass, which is y = A^T [(G w) . (B^T a)] A per tile: its
//             transpose is dw = G^T [(A dy A^T) . (B^T a B)] G. The dot is summed over tiles and x, for each of the
//             three x taps; G^T and G follow once for a whole batch (conv3d_backward_cpu.cpp).
#if defined(SR_KERNELS_CONV3D_GRADIENT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SR_KERNELS_CONV3D_GRADIENT_INL_H
#undef SR_KERNELS_CONV3D_GRADIENT_INL_H
#else
#define SR_KERNELS_CONV3D_GRADIENT_INL_H
#endif

#include <algorithm>

#include "kernels/conv3d_direct-inl.h"
#include "kernels/conv3d_large_kernel-inl.h"
#include "kernels/conv3d_winograd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {

// g holds the gradients of what the job's convolution wrote.

// sums[c][s] += sum over i < n of u[c][i] v[s][i], for kOutputs gradients u and kStreams inputs v. n: a multiple of 8.
template <int kOutputs, int kStreams, class D>
HWY_INLINE ptrdiff_t correlate_vectors(D d, const float* HWY_RESTRICT u, ptrdiff_t u_stride,
                                       const float* HWY_RESTRICT v, ptrdiff_t v_stride, ptrdiff_t i, ptrdiff_t n,
                                       float* HWY_RESTRICT sums, ptrdiff_t sums_stride) {
  using V = hn::Vec<D>;
  constexpr ptrdiff_t kLanes = static_cast<ptrdiff_t>(hn::MaxLanes(d));
  V sum[kOutputs][kStreams];
  SR_UNROLL for (int c = 0; c < kOutputs; c++) SR_UNROLL for (int s = 0; s < kStreams; s++) sum[c][s] = hn::Zero(d);
  for (; i + kLanes <= n; i += kLanes) {
    V stream[kStreams];
    SR_UNROLL for (int s = 0; s < kStreams; s++) stream[s] = hn::LoadU(d, v + s * v_stride + i);
    SR_UNROLL for (int c = 0; c < kOutputs; c++) {
      const V gradient = hn::LoadU(d, u + c * u_stride + i);
      SR_UNROLL for (int s = 0; s < kStreams; s++) accumulate(stream[s], gradient, sum[c][s]);
    }
  }
  SR_UNROLL for (int c = 0; c < kOutputs; c++) SR_UNROLL for (int s = 0; s < kStreams; s++) sums[c * sums_stride + s] +=
      hn::GetLane(hn::SumOfLanes(d, sum[c][s]));
  return i;
}

template <int kOutputs, int kStreams>
HWY_NOINLINE void correlate_block(const float* u, ptrdiff_t u_stride, const float* v, ptrdiff_t v_stride, ptrdiff_t n,
                                  float* sums, ptrdiff_t sums_stride) {
  const ptrdiff_t i = correlate_vectors<kOutputs, kStreams>(Wide(), u, u_stride, v, v_stride, 0, n, sums, sums_stride);
  if (i < n) correlate_vectors<kOutputs, kStreams>(Narrow(), u, u_stride, v, v_stride, i, n, sums, sums_stride);
}

// As many outputs a time as their sums fit the registers.
template <int kStreams>
HWY_INLINE void correlate(const float* u, ptrdiff_t u_stride, int n_outputs, const float* v, ptrdiff_t v_stride,
                          ptrdiff_t n, float* sums, ptrdiff_t sums_stride) {
  constexpr int kOutputs = kManyRegisters ? 8 : 4;
  int c = 0;
  for (; c + kOutputs <= n_outputs; c += kOutputs)
    correlate_block<kOutputs, kStreams>(u + c * u_stride, u_stride, v, v_stride, n, sums + c * sums_stride,
                                        sums_stride);
  if (kManyRegisters)
    for (; c + 4 <= n_outputs; c += 4)
      correlate_block<4, kStreams>(u + c * u_stride, u_stride, v, v_stride, n, sums + c * sums_stride, sums_stride);
  for (; c < n_outputs; c++)
    correlate_block<1, kStreams>(u + c * u_stride, u_stride, v, v_stride, n, sums + c * sums_stride, sums_stride);
}

// M rows or planes of gradients -> M + 2 points, along one axis.
template <int M, class D>
HWY_INLINE ptrdiff_t gradient_points(D d, const float* HWY_RESTRICT from, ptrdiff_t from_stride, float* HWY_RESTRICT to,
                                     ptrdiff_t to_stride, ptrdiff_t i, ptrdiff_t end) {
  using V = hn::Vec<D>;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  for (; i + lanes <= end; i += lanes) {
    V v[M + 2];
    SR_UNROLL for (int k = 0; k < M; k++) v[k] = hn::LoadU(d, from + k * from_stride + i);
    Winograd<M>::gradient(d, v);
    SR_UNROLL for (int k = 0; k < M + 2; k++) hn::StoreU(v[k], d, to + k * to_stride + i);
  }
  return i;
}

// sums: [point][ci][co][kx], of this item.
template <int M>
class WinogradGradientItem : WinogradInput<M> {
  using Input = WinogradInput<M>;
  using Input::job_, Input::plan_, Input::layout_, Input::scratch_, Input::y0_, Input::z0_, Input::z1_;
  using Input::tile_rows_, Input::operand;

 public:
  WinogradGradientItem(const ConvJob& job, Features<float> g, int item, ThreadScratch& scratch, float* sums)
      : Input(job, item, scratch), g_(g), sums_(sums) {}

  void run() {
    this->clear_band();
    for (int c = 0; c < job_.x.count; c++) this->start_ring(c);
    for (int z = z0_; z < z1_; z += M) {
      for (int co = 0; co < job_.y.count; co++) transform_gradient(co, z);
      for (int c0 = 0; c0 < job_.x.count; c0 += plan_.chunk) {
        const int n_channels = std::min(plan_.chunk, job_.x.count - c0);
        for (int c = 0; c < n_channels; c++) this->transform(c0 + c, z, operand(0, c));
        correlate_points(c0, n_channels);
      }
    }
  }

 private:
  float* points(int point, int co) const {
    return scratch_ + plan_.product_at + (ptrdiff_t{point} * job_.y.count + co) * plan_.product;
  }

  // A dy A^T: along z into the planes of band() (which transform() fills anew for each channel), then along y.
  void transform_gradient(int co, int z) {
    float* planes = this->band();
    const int rows_here = std::min(layout_.size.h - y0_, tile_rows_ * M);
    const ptrdiff_t n = rows_here * layout_.row, n_tiles = ptrdiff_t{tile_rows_} * M * layout_.row;
    for (int k = 0; k < M; k++) {
      float* to = planes + k * plan_.band;
      if (z + k < layout_.size.d)
        std::copy_n(g_.at(job_.y.first + co, z + k, y0_), n, to);
      else
        std::fill_n(to, n, 0.0f);
      std::fill(to + n, to + n_tiles, 0.0f);
    }
    const ptrdiff_t end = gradient_points<M>(Wide(), planes, plan_.band, planes, plan_.band, 0, n_tiles);
    gradient_points<M>(Narrow(), planes, plan_.band, planes, plan_.band, end, n_tiles);
    const ptrdiff_t point_stride = job_.y.count * plan_.product;
    for (int pz = 0; pz < M + 2; pz++)
      for (int t = 0; t < tile_rows_; t++) {
        const float* rows = planes + pz * plan_.band + t * M * layout_.row;
        float* to = points(pz * (M + 2), co) + t * layout_.row;
        const ptrdiff_t i = gradient_points<M>(Wide(), rows, layout_.row, to, point_stride, 0, layout_.row);
        gradient_points<M>(Narrow(), rows, layout_.row, to, point_stride, i, layout_.row);
      }
    // The rows outside the volume must be zero again when transform() comes to them.
    if (co + 1 == job_.y.count) this->clear_band();
  }

  void correlate_points(int c0, int n_channels) {
    const ptrdiff_t n = tile_rows_ * layout_.row;
    const int n_outputs = job_.y.count;
    for (int point = 0; point < (M + 2) * (M + 2); point++)
      for (int c = 0; c < n_channels; c++) {
        float* sums = sums_ + (ptrdiff_t{point} * job_.x.count + c0 + c) * n_outputs * 3;
        correlate<3>(points(point, 0), plan_.product, n_outputs, operand(point, c) - 1, 1, n, sums, 3);
      }
  }

  Features<float> g_;
  float* sums_;
};

// All taps of a 3x3x3 kernel. sums: [ci][kz][ky][co][kx], of this item.
HWY_INLINE void direct_gradient_item(const ConvJob& job, Features<float> g, int item, float* scratch, float* sums) {
  const Layout& layout = job.f.layout;
  const DirectBand band(job, item, scratch);
  const ptrdiff_t n = (band.y1 - band.y0) * layout.row;
  band.fill(band.z0 - 1);
  band.fill(band.z0);
  for (int z = band.z0; z < band.z1; z++) {
    band.fill(z + 1);
    const float* dy = g.at(job.y.first, z, band.y0);
    for (int c = 0; c < job.x.count; c++)
      for (int kz = 0; kz < 3; kz++)
        for (int ky = 0; ky < 3; ky++)
          correlate<3>(dy, layout.channel, job.y.count, band.plane(c, z - 1 + kz) + ky * layout.row - 1, 1, n,
                       sums + ((ptrdiff_t{c} * 3 + kz) * 3 + ky) * job.y.count * 3, 3);
  }
}

// All taps of a 5x5x5 or 9x9x9 kernel. sums: [ci][kz][ky][co][kx], of this item.
template <int kSize>
class LargeKernelBackwardWeightsItem : LargeKernelBlock<kSize> {
  using Block = LargeKernelBlock<kSize>;
  using Block::job_, Block::plan_, Block::layout_, Block::block_, Block::y0_, Block::y1_, Block::z0_, Block::z1_;

 public:
  LargeKernelBackwardWeightsItem(const ConvJob& job, Features<float> g, int item, float* scratch, float* sums)
      : Block(job, item, scratch), g_(g), dy_(scratch + plan_.product_at), sums_(sums) {}

  void run() {
    const int n_outputs = job_.y.count;
    const ptrdiff_t n = (y1_ - y0_) * plan_.wide_row;
    for (int c = 0; c < job_.x.count; c++) {
      this->fill(c);
      for (int z = z0_; z < z1_; z++) {
        copy_gradients(z);
        for (int kz = 0; kz < kSize; kz++)
          for (int ky = 0; ky < kSize; ky++) {
            const float* x = block_ + (z - z0_ + kz) * plan_.band + ky * plan_.wide_row - kSize / 2;
            float* sums = sums_ + ((ptrdiff_t{c} * kSize + kz) * kSize + ky) * n_outputs * kSize;
            if (n_outputs == 1) {
              correlate_block<1, kSize>(dy_, 0, x, 1, n, sums, 0);
              continue;
            }
            int kx = 0;
            for (; kx + 3 <= kSize; kx += 3)
              correlate<3>(dy_, plan_.product, n_outputs, x + kx, 1, n, sums + kx, kSize);
            for (; kx < kSize; kx++) correlate<1>(dy_, plan_.product, n_outputs, x + kx, 1, n, sums + kx, kSize);
          }
      }
    }
  }

 private:
  // The block's rows of plane z, as far apart as the inputs' rows; zeros between them, which scratch holds already.
  void copy_gradients(int z) const {
    for (int co = 0; co < job_.y.count; co++)
      for (int y = y0_; y < y1_; y++)
        std::copy_n(g_.at(job_.y.first + co, z, y), layout_.row, dy_ + co * plan_.product + (y - y0_) * plan_.wide_row);
  }

  Features<float> g_;
  float *dy_, *sums_;
};

// 1x1x1. sums: [co][ci], of this item.
HWY_INLINE void gradient_item_1x1x1(const ConvJob& job, Features<float> g, int item, float* scratch, float* sums) {
  const ConvPlan& plan = job.plan;
  const Layout& layout = job.f.layout;
  const ptrdiff_t volume = ptrdiff_t{layout.size.d} * layout.plane, run = plan.rows * layout.row;
  const ptrdiff_t begin = ptrdiff_t{item} * plan.planes * run, end = std::min(volume, begin + plan.planes * run);
  float* activated = scratch + plan.operand_at;
  for (ptrdiff_t at = begin; at < end; at += run) {
    const ptrdiff_t n = std::min(run, end - at);
    const float* dy = g.at(job.y.first) + at;
    for (int c0 = 0; c0 < job.x.count; c0 += plan.chunk) {
      const int n_channels = std::min(plan.chunk, job.x.count - c0);
      for (int c = 0; c < n_channels; c++)
        activate(job, c0 + c, job.f.at(job.x.first + c0 + c) + at, n, activated + c * plan.operand);
      int c = 0;
      for (; c + 3 <= n_channels; c += 3)
        correlate<3>(dy, layout.channel, job.y.count, activated + c * plan.operand, plan.operand, n, sums + c0 + c,
                     job.x.count);
      for (; c < n_channels; c++)
        correlate<1>(dy, layout.channel, job.y.count, activated + c * plan.operand, plan.operand, n, sums + c0 + c,
                     job.x.count);
    }
  }
}

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
