// 3x3x3 convolution by Winograd's F(M x M) over (z, y); the three taps along x are multiplied directly, because x is
// the SIMD axis: so the transforms are additions of whole vectors, without a shuffle. Included once per SIMD target.
//
// An item walks its band along z, M planes a step. In each step, for a chunk of input channels:
//   1. M new planes are activated and, with the two kept from the step before, transformed along z -> M+2 planes
//   2. these are transformed along y -> (M+2)^2 points, each `tile_rows` rows of M times fewer rows than the band
//   3. each point: products += weights x operands, over the chunk's channels and three taps
// and once all chunks are in, the products are transformed back, along y and z, and written.
#if defined(SR_KERNELS_CONV3D_WINOGRAD_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SR_KERNELS_CONV3D_WINOGRAD_INL_H
#undef SR_KERNELS_CONV3D_WINOGRAD_INL_H
#else
#define SR_KERNELS_CONV3D_WINOGRAD_INL_H
#endif

#include <algorithm>

#include "kernels/conv3d_epilogue-inl.h"
#include "kernels/multiply-inl.h"
#include "kernels/winograd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {

// Step 1 for one channel, the new planes being activated. planes: M+2 of them, the first two still empty; they become
// the points. kept: the two planes before the new ones; replaced by the last two.
template <int M, class D>
HWY_INLINE ptrdiff_t transform_z(D d, float* HWY_RESTRICT planes, float* HWY_RESTRICT kept, ptrdiff_t stride,
                                 ptrdiff_t i, ptrdiff_t end) {
  using V = hn::Vec<D>;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  for (; i + lanes <= end; i += lanes) {
    V v[M + 2];
    SR_UNROLL for (int k = 0; k < 2; k++) v[k] = hn::LoadU(d, kept + k * stride + i);
    SR_UNROLL for (int k = 2; k < M + 2; k++) v[k] = hn::LoadU(d, planes + k * stride + i);
    SR_UNROLL for (int k = 0; k < 2; k++) hn::StoreU(v[M + k], d, kept + k * stride + i);
    Winograd<M>::input(d, v);
    SR_UNROLL for (int k = 0; k < M + 2; k++) hn::StoreU(v[k], d, planes + k * stride + i);
  }
  return i;
}

// Step 2 for one row of tiles of one channel and one z point: M+2 rows -> M+2 points.
template <int M, class D>
HWY_INLINE ptrdiff_t transform_y(D d, const float* HWY_RESTRICT rows, ptrdiff_t row, ptrdiff_t i, ptrdiff_t end,
                                 float* HWY_RESTRICT to, ptrdiff_t point_stride) {
  using V = hn::Vec<D>;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  for (; i + lanes <= end; i += lanes) {
    V v[M + 2];
    SR_UNROLL for (int k = 0; k < M + 2; k++) v[k] = hn::LoadU(d, rows + k * row + i);
    Winograd<M>::input(d, v);
    SR_UNROLL for (int k = 0; k < M + 2; k++) hn::StoreU(v[k], d, to + k * point_stride + i);
  }
  return i;
}

// The way back for one row of tiles of one output channel. n_z, n_y: the tile's outputs that exist.
template <int M, class Epilogue, class D>
HWY_INLINE ptrdiff_t transform_back(D d, const ConvJob& job, int co, const float* HWY_RESTRICT product,
                                    ptrdiff_t point_stride, int n_z, int n_y, ptrdiff_t i, ptrdiff_t at,
                                    PartialSums& sums) {
  using V = hn::Vec<D>;
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  const Layout& layout = job.f.layout;
  Epilogue epilogue(d, job, co, at);
  for (; i + lanes <= layout.row; i += lanes) {
    V tile[M][M + 2];  // [z output][y point]
    SR_UNROLL for (int py = 0; py < M + 2; py++) {
      V v[M + 2];
      SR_UNROLL for (int pz = 0; pz < M + 2; pz++) v[pz] =
          hn::LoadU(d, product + (pz * (M + 2) + py) * point_stride + i);
      Winograd<M>::output(d, v);
      SR_UNROLL for (int z = 0; z < M; z++) tile[z][py] = v[z];
    }
    const V voxels = hn::LoadU(d, job.mask + i);
    SR_UNROLL for (int z = 0; z < M; z++) {
      if (z >= n_z) break;
      Winograd<M>::output(d, tile[z]);
      SR_UNROLL for (int r = 0; r < M; r++) {
        if (r >= n_y) break;
        epilogue.put(d, tile[z][r], voxels, z * layout.plane + r * layout.row + i);
      }
    }
  }
  epilogue.flush(d, sums);
  return i;
}

// An item's way in, steps 1 and 2.
template <int M>
class WinogradInput {
 protected:
  WinogradInput(const ConvJob& job, int item, ThreadScratch& scratch)
      : job_(job), plan_(job.plan), layout_(job.f.layout), scratch_(scratch.data()) {
    if (scratch.prepared_for != job.id) clear_margins();
    scratch.prepared_for = job.id;
    const auto [d, h, w] = layout_.size;
    y0_ = item % plan_.n_bands * plan_.rows;
    z0_ = item / plan_.n_bands * plan_.planes;
    z1_ = std::min(d, z0_ + plan_.planes);
    tile_rows_ = (std::min(h, y0_ + plan_.rows) - y0_ + M - 1) / M;
    top_ = std::max(0, y0_ - 1);
    const int bottom = std::min(h, y0_ + plan_.rows + 1);
    above_ = (top_ - (y0_ - 1)) * layout_.row;
    n_band_ = (bottom - top_) * layout_.row;
  }

  float* kept(int c) const { return scratch_ + plan_.ring_at + c * plan_.ring; }
  float* band() const { return scratch_ + plan_.band_at; }
  float* operand(int point, int c) const {
    return scratch_ + plan_.operand_at + (ptrdiff_t{point} * plan_.chunk + c) * plan_.operand + kMargin;
  }

  // For rows above and below the volume, where nothing is written.
  void clear_band() { std::fill_n(band(), (M + 2) * plan_.band, 0.0f); }

  // Planes z0 - 1 and z0, activated: what the first step finds in place of a step before it.
  void start_ring(int c) {
    for (int k = 0; k < 2; k++) {
      const int z = z0_ - 1 + k;
      float* to = kept(c) + k * plan_.band;
      if (z < 0)
        std::fill_n(to, n_band_, 0.0f);
      else
        activate(job_, c, job_.f.at(job_.x.first + c, z, top_), n_band_, to);
    }
  }

  // Activation and transforms are loops of their own: in one loop, the latency of four exponentials and a transform in
  // a row was more than the processor could overlap.
  void transform(int c, int z, float* to) {
    float* planes = band() + above_;
    for (int k = 0; k < M; k++) {
      float* plane = planes + (2 + k) * plan_.band;
      const int from = z + 1 + k;
      if (from < layout_.size.d)
        activate(job_, c, job_.f.at(job_.x.first + c, from, top_), n_band_, plane);
      else
        std::fill_n(plane, n_band_, 0.0f);
    }
    const ptrdiff_t end = transform_z<M>(Wide(), planes, kept(c), plan_.band, 0, n_band_);
    transform_z<M>(Narrow(), planes, kept(c), plan_.band, end, n_band_);

    const ptrdiff_t point_stride = plan_.chunk * plan_.operand;
    for (int pz = 0; pz < M + 2; pz++)
      for (int t = 0; t < tile_rows_; t++) {
        const float* rows = band() + pz * plan_.band + t * M * layout_.row;
        float* points = to + pz * (M + 2) * point_stride + t * layout_.row;
        const ptrdiff_t i = transform_y<M>(Wide(), rows, layout_.row, 0, layout_.row, points, point_stride);
        transform_y<M>(Narrow(), rows, layout_.row, i, layout_.row, points, point_stride);
      }
  }

  const ConvJob& job_;
  const ConvPlan& plan_;
  const Layout& layout_;
  float* scratch_;
  int y0_, z0_, z1_, tile_rows_;
  int top_;           // first row that exists, of the band and the row above it
  ptrdiff_t above_;   // where it lies in band()
  ptrdiff_t n_band_;  // floats of the rows that exist

 private:
  // Zeros for x = -1, in front of each row of operands. Items do not write there, so once per thread and job will do.
  void clear_margins() {
    std::fill_n(scratch_ + plan_.operand_at, kMargin, 0.0f);
    for (int point = 0; point < job_.conv->n_points; point++)
      for (int c = 0; c < plan_.chunk; c++) {
        float* row = operand(point, c);
        std::fill(row - kMargin, row, 0.0f);
      }
  }
};

template <int M>
class WinogradItem : WinogradInput<M> {
  using Input = WinogradInput<M>;
  using Input::job_, Input::plan_, Input::layout_, Input::scratch_, Input::y0_, Input::z0_, Input::z1_;
  using Input::tile_rows_, Input::top_, Input::n_band_, Input::operand;

 public:
  WinogradItem(const ConvJob& job, int item, ThreadScratch& scratch, PartialSums* sums)
      : Input(job, item, scratch), sums_(sums) {}

  void run() {
    this->clear_band();
    for (int c = 0; c < job_.x.count; c++) this->start_ring(c);
    for (int z = z0_; z < z1_; z += M) {
      for (int c0 = 0; c0 < job_.x.count; c0 += plan_.chunk) {
        const int n_channels = std::min(plan_.chunk, job_.x.count - c0);
        for (int c = 0; c < n_channels; c++) this->transform(c0 + c, z, operand(0, c));
        Ahead ahead = next_inputs(c0 + n_channels, z);
        multiply_points(c0, n_channels, ahead);
      }
      write(z);
    }
  }

 private:
  float* product(int point) const {
    return scratch_ + plan_.product_at + ptrdiff_t{point} * job_.conv->co_padded * plan_.product;
  }

  // What transform() reads next: the chunk from channel c on, or the first one of the next step.
  Ahead next_inputs(int c, int z) const {
    if (c == job_.x.count) {
      c = 0;
      z += M;
    }
    const int n_planes = z < z1_ ? std::min(M, layout_.size.d - (z + 1)) : 0;
    if (n_planes <= 0) return {};
    return {.run = job_.f.at(job_.x.first + c, z + 1, top_),
            .channel_stride = layout_.channel,
            .run_stride = layout_.plane,
            .n_runs = n_planes,
            .n_lines = static_cast<int>((n_band_ + 15) / 16)};
  }

  void multiply_points(int c0, int n_channels, Ahead& ahead) {
    const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(Wide()));
    const ptrdiff_t row = 0;
    const int n_vectors = static_cast<int>((tile_rows_ * layout_.row + lanes - 1) / lanes);
    ahead.spread(job_.conv->n_points * n_blocks(*job_.conv, n_vectors));
    for (int point = 0; point < job_.conv->n_points; point++) {
      const Multiplication m = {.operand = operand(point, 0),
                                .operand_stride = plan_.operand,
                                .row = &row,
                                .n_channels = n_channels,
                                .product = product(point),
                                .product_stride = plan_.product,
                                .n_vectors = n_vectors,
                                .accumulate = c0 > 0};
      multiply<1, 3>(m, *job_.conv, point, c0, ahead);
    }
  }

  void write(int z) {
    if (!job_.backward)
      write_as<ForwardEpilogue>(z);
    else if (!job_.backward->prologue.scale)
      write_as<BackwardPlain>(z);
    else if (job_.backward->prologue.slope)
      write_as<BackwardNormPRelu>(z);
    else
      write_as<BackwardNormElu>(z);
  }

  template <template <class> class Epilogue>
  void write_as(int z) {
    const ptrdiff_t point_stride = job_.conv->co_padded * plan_.product;
    const int n_z = std::min(M, layout_.size.d - z);
    for (int co = 0; co < job_.y.count; co++)
      for (int t = 0; t < tile_rows_; t++) {
        const int y = y0_ + t * M, n_y = std::min(M, layout_.size.h - y);
        const float* products = product(0) + co * plan_.product + t * layout_.row;
        const ptrdiff_t at = z * layout_.plane + y * layout_.row;
        const ptrdiff_t i =
            transform_back<M, Epilogue<Wide>>(Wide(), job_, co, products, point_stride, n_z, n_y, 0, at, sums_[co]);
        if (i < layout_.row)
          transform_back<M, Epilogue<Narrow>>(Narrow(), job_, co, products, point_stride, n_z, n_y, i, at, sums_[co]);
      }
  }

  PartialSums* sums_;
};

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
