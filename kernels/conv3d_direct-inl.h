// 3x3x3 convolution with all 27 taps. Included once per SIMD target.
#if defined(SR_KERNELS_CONV3D_DIRECT_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SR_KERNELS_CONV3D_DIRECT_INL_H
#undef SR_KERNELS_CONV3D_DIRECT_INL_H
#else
#define SR_KERNELS_CONV3D_DIRECT_INL_H
#endif

#include <algorithm>

#include "kernels/conv3d_epilogue-inl.h"
#include "kernels/multiply-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {

// An item's band, and a ring of three activated planes of it per input channel.
class DirectBand {
 public:
  DirectBand(const ConvJob& job, int item, float* scratch) : job_(job), scratch_(scratch) {
    const ConvPlan& plan = job.plan;
    const auto [d, h, w] = job.f.layout.size;
    y0 = item % plan.n_bands * plan.rows;
    y1 = std::min(h, y0 + plan.rows);
    z0 = item / plan.n_bands * plan.planes;
    z1 = std::min(d, z0 + plan.planes);
    top = std::max(0, y0 - 1);
    first = (top - (y0 - 1)) * job.f.layout.row;
    n_there = (std::min(h, y1 + 1) - top) * job.f.layout.row;
  }

  float* plane(int c, int z) const {
    return scratch_ + job_.plan.ring_at + c * job_.plan.ring + (z + 3) % 3 * job_.plan.band;
  }
  // Plane z of all channels, with zeros where there is no volume.
  void fill(int z) const {
    for (int c = 0; c < job_.x.count; c++) {
      float* to = plane(c, z);
      std::fill(to - kMargin, to + job_.plan.band - kMargin, 0.0f);
      if (z >= 0 && z < job_.f.layout.size.d)
        activate(job_, c, job_.f.at(job_.x.first + c, z, top), n_there, to + first);
    }
  }

  int y0, y1, z0, z1;  // what is computed
  int top;             // first row that exists, of the band and the row above it
  ptrdiff_t first;     // where it lies in a plane
  ptrdiff_t n_there;   // floats of the rows that exist

 private:
  const ConvJob& job_;
  float* scratch_;
};

// Walks a band along z.
HWY_INLINE void direct_item(const ConvJob& job, int item, float* scratch, PartialSums* sums) {
  const ConvPlan& plan = job.plan;
  const Layout& layout = job.f.layout;
  const DirectBand band(job, item, scratch);

  // What band.fill(z) reads of the channels from c on.
  const auto next_inputs = [&](int c, int z) -> Ahead {
    if (z > band.z1 || z >= layout.size.d) return {};
    return {.run = job.f.at(job.x.first + c, z, band.top),
            .channel_stride = layout.channel,
            .n_runs = 1,
            .n_lines = static_cast<int>((band.n_there + 15) / 16)};
  };

  const ptrdiff_t n = (band.y1 - band.y0) * layout.row;
  float* product = scratch + plan.product_at;
  band.fill(band.z0 - 1);
  band.fill(band.z0);
  for (int z = band.z0; z < band.z1; z++) {
    band.fill(z + 1);
    ptrdiff_t row[9];
    for (int kz = 0; kz < 3; kz++)
      for (int ky = 0; ky < 3; ky++) row[kz * 3 + ky] = band.plane(0, z - 1 + kz) - band.plane(0, 0) + ky * layout.row;
    const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(Wide()));
    for (int c0 = 0; c0 < job.x.count; c0 += plan.chunk) {
      const Multiplication m = {.operand = band.plane(c0, 0),
                                .operand_stride = plan.ring,
                                .row = row,
                                .n_channels = std::min(plan.chunk, job.x.count - c0),
                                .product = product,
                                .product_stride = plan.product,
                                .n_vectors = static_cast<int>((n + lanes - 1) / lanes),
                                .accumulate = c0 > 0};
      Ahead ahead = next_inputs(c0, z + 2);
      ahead.spread(n_blocks(*job.conv, m.n_vectors));
      multiply<9, 3>(m, *job.conv, 0, c0, ahead);
    }
    for (int co = 0; co < job.y.count; co++)
      write_rows(job, co, product + co * plan.product, n, z * layout.plane + band.y0 * layout.row, sums[co]);
  }
}

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
