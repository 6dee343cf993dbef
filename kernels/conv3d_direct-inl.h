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

// Walks a band along z with a ring of three activated planes per input channel.
HWY_INLINE void direct_item(const ConvJob& job, int item, float* scratch, ChannelSums* sums) {
  const ConvPlan& plan = job.plan;
  const Layout& layout = job.f.layout;
  const auto [d, h, w] = layout.size;
  const int y0 = item % plan.n_bands * plan.rows, y1 = std::min(h, y0 + plan.rows);
  const int z0 = item / plan.n_bands * plan.planes, z1 = std::min(d, z0 + plan.planes);
  const int top = std::max(0, y0 - 1), bottom = std::min(h, y1 + 1);  // rows that exist, of the band and its neighbours
  const ptrdiff_t first = (top - (y0 - 1)) * layout.row, last = (bottom - (y0 - 1)) * layout.row;

  const auto ring_plane = [&](int c, int z) {
    return scratch + plan.ring_at + c * plan.ring + (z + 3) % 3 * plan.band;
  };
  const auto fill_plane = [&](int z) {
    for (int c = 0; c < job.x.count; c++) {
      float* plane = ring_plane(c, z);
      std::fill(plane - kMargin, plane + plan.band - kMargin, 0.0f);
      if (z >= 0 && z < d) activate(job, c, job.f.at(job.x.first + c, z, top), last - first, plane + first);
    }
  };

  // What fill_plane(z) reads of the channels from c on.
  const auto next_inputs = [&](int c, int z) -> Ahead {
    if (z > z1 || z >= d) return {};
    return {.run = job.f.at(job.x.first + c, z, top),
            .channel_stride = layout.channel,
            .n_runs = 1,
            .n_lines = static_cast<int>((last - first + 15) / 16)};
  };

  const ptrdiff_t n = (y1 - y0) * layout.row;
  float* product = scratch + plan.product_at;
  fill_plane(z0 - 1);
  fill_plane(z0);
  for (int z = z0; z < z1; z++) {
    fill_plane(z + 1);
    ptrdiff_t row[9];
    for (int kz = 0; kz < 3; kz++)
      for (int ky = 0; ky < 3; ky++) row[kz * 3 + ky] = ring_plane(0, z - 1 + kz) - ring_plane(0, 0) + ky * layout.row;
    const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(Wide()));
    for (int c0 = 0; c0 < job.x.count; c0 += plan.chunk) {
      const Multiplication m = {.operand = ring_plane(c0, 0),
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
      write_rows(job, co, product + co * plan.product, n, z * layout.plane + y0 * layout.row, sums[co]);
  }
}

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
