#include "kernels/features.h"

namespace sr {

Layout padded_layout(Size3 size) {
  const ptrdiff_t row = (size.w + 1 + 7) / 8 * 8;
  const ptrdiff_t plane = row * size.h;
  ptrdiff_t channel = (plane * size.d + 15) / 16 * 16;
  if (channel % 1024 == 0) channel += 16;  // 4 KiB apart, neighbouring channels would fall into the same cache sets
  return {size, row, plane, channel};
}

Layout dense_layout(Size3 size) {
  return {size, size.w, ptrdiff_t{size.w} * size.h, static_cast<ptrdiff_t>(size.voxels())};
}

int64_t buffer_elements(const Layout& layout, int n_channels) {
  return int64_t{layout.channel} * n_channels + 64;
}

}  // namespace sr
