// How a convolution is cut up: sizes of bands, chunks and scratch.
#include <algorithm>
#include <limits>

#include "kernels/conv3d_impl.h"

namespace sr {
namespace {

// The share of a core's L2 that one buffer may take. Processors in use have 256 KiB (older Intel) to 2 MiB; 512 KiB is
// what the figures in docs/perf-log.md were tuned on.
constexpr ptrdiff_t kCache = 512 * 1024 / sizeof(float);

int divide_up(int64_t a, int64_t b) {
  return static_cast<int>((a + b - 1) / b);
}
ptrdiff_t round_up(ptrdiff_t n, ptrdiff_t to) {
  return (n + to - 1) / to * to;
}

// A plane of z is walked in items of about 20 planes: enough items for many threads, while the two planes that each
// item activates once more stay a tenth.
void split_depth(ConvPlan& plan, int d) {
  const int n_steps = divide_up(d, plan.tile);
  const int n_depths = divide_up(n_steps, std::max(1, 20 / plan.tile));
  plan.planes = divide_up(n_steps, n_depths) * plan.tile;
  plan.n_depths = divide_up(d, plan.planes);
}

void lay_out_scratch(ConvPlan& plan, const PackedConv::Impl& conv, ptrdiff_t n_planes) {
  const ptrdiff_t ring_channels = plan.ring > 0 ? conv.ci : 0;
  plan.ring_at = kMargin;
  plan.band_at = plan.ring_at + ring_channels * plan.ring;
  plan.operand_at = plan.band_at + n_planes * plan.band;
  plan.product_at = plan.operand_at + ptrdiff_t{conv.n_points} * plan.chunk * plan.operand;
  plan.total = plan.product_at + ptrdiff_t{conv.n_points} * conv.co_padded * plan.product + kMargin;
}

int winograd_tile(const PackedConv::Impl& conv) {
  return conv.algorithm == ConvAlgorithm::winograd4 ? 4 : 2;
}

// Bands of so many rows of tiles; `chunk` and what follows from it are left open.
ConvPlan winograd_bands(const Layout& layout, int tile, int tile_rows) {
  ConvPlan plan;
  plan.tile = tile;
  plan.rows = tile_rows * tile;
  plan.n_bands = divide_up(layout.size.h, plan.rows);
  split_depth(plan, layout.size.d);
  const ptrdiff_t n = tile_rows * layout.row;
  plan.band = round_up((plan.rows + 2) * layout.row, 16) + kMargin;
  plan.ring = 2 * plan.band;
  plan.operand = round_up(n, 16) + 2 * kMargin;
  plan.product = round_up(n, 16) + kMargin;
  return plan;
}

// Sums along a band are worth their last step, over the lanes, if the band is long.
ConvPlan plan_winograd_gradient(const Layout& layout, const PackedConv::Impl& conv) {
  const int tile = winograd_tile(conv);
  const ptrdiff_t tile_rows = std::clamp<ptrdiff_t>(240 / layout.row, 1, divide_up(layout.size.h, tile));
  ConvPlan plan = winograd_bands(layout, tile, static_cast<int>(tile_rows));
  plan.chunk = std::min(conv.ci, 12);
  lay_out_scratch(plan, conv, tile + 2);
  return plan;
}

ConvPlan plan_winograd(const Layout& layout, const PackedConv::Impl& conv) {
  const int tile = winograd_tile(conv);
  // Tile rows per band: two spare a fifth of the activations and transforms that neighbouring bands repeat, if the
  // products of all points (which each chunk of channels updates) then still fit half the cache.
  const ptrdiff_t products_of_a_row = layout.row * conv.n_points * conv.co_padded;
  const int tile_rows = layout.size.h > tile && 2 * products_of_a_row <= kCache / 2 ? 2 : 1;
  ConvPlan plan = winograd_bands(layout, tile, tile_rows);
  // Operands may exceed the cache by a half: they are read in order, while each further chunk costs a round trip of all
  // products through memory.
  const int n_chunks = divide_up(ptrdiff_t{conv.ci} * conv.n_points * plan.operand, kCache * 3 / 2);
  plan.chunk = divide_up(conv.ci, n_chunks);
  lay_out_scratch(plan, conv, tile + 2);
  return plan;
}

ConvPlan plan_direct(const Layout& layout, const PackedConv::Impl& conv) {
  ConvPlan plan;
  const auto [d, h, w] = layout.size;
  // Three planes of a band, of all input channels, in three quarters of the cache.
  const ptrdiff_t fitting = kCache * 3 / 4 / (3 * layout.row * conv.ci) - 2;
  plan.rows = static_cast<int>(std::clamp<ptrdiff_t>(fitting, 1, std::min(h, 16)));
  plan.n_bands = divide_up(h, plan.rows);
  plan.rows = divide_up(h, plan.n_bands);
  split_depth(plan, d);
  plan.band = round_up((plan.rows + 2) * layout.row, 16) + kMargin;
  plan.ring = 3 * plan.band;
  plan.product = round_up(plan.rows * layout.row, 16) + kMargin;
  plan.chunk = std::min(conv.ci, 8);  // 9 rows of each, a block of columns wide, and their weights fit L1
  lay_out_scratch(plan, conv, 0);
  return plan;
}

ConvPlan plan_1x1x1(const Layout& layout, const PackedConv::Impl& conv) {
  ConvPlan plan;
  const int64_t n_rows = int64_t{layout.size.d} * layout.size.h;
  // 2 KiB of each channel, or what leaves the products of many outputs (on the way back) in half the cache.
  const ptrdiff_t run = std::min<ptrdiff_t>(512, kCache / 2 / conv.co_padded);
  plan.rows = static_cast<int>(std::clamp<int64_t>(run / layout.row, 1, n_rows));
  plan.planes = 8;
  plan.n_bands = divide_up(n_rows, int64_t{plan.rows} * plan.planes);
  plan.chunk = divide_up(conv.ci, divide_up(conv.ci, 60));  // so many pages fit the first TLB (64 entries)
  plan.operand = 48;                                        // a block of columns; the widest target has 2 vectors of 16
  plan.product = round_up(plan.rows * layout.row, 16) + kMargin;
  lay_out_scratch(plan, conv, 0);
  return plan;
}

// Blocks with the neighbours that their taps reach, one input channel at a time. `total` is left open: behind
// product_at comes what a caller keeps of the output channels.
ConvPlan large_kernel_blocks(const Layout& layout, const PackedConv::Impl& conv, ptrdiff_t most_products) {
  ConvPlan plan;
  const auto [d, h, w] = layout.size;
  const int reach = conv.size / 2;
  // One output channel is computed in whole vectors of a row, several in vectors that run on across its end.
  plan.wide_row = round_up(w + reach, conv.co == 1 ? 16 : 8);
  plan.rows = conv.co == 1 ? kLargeKernelBand : 16;
  plan.n_bands = divide_up(h, plan.rows);
  plan.product = round_up(plan.rows * plan.wide_row, 16) + kMargin;
  const ptrdiff_t planes = std::clamp<ptrdiff_t>(most_products / (conv.co_padded * plan.product), 1, 16);
  plan.n_depths = divide_up(d, planes);
  plan.planes = divide_up(d, plan.n_depths);
  plan.band = (plan.rows + 2 * reach) * plan.wide_row;
  plan.ring = (plan.planes + 2 * reach) * plan.band;
  plan.ring_at = kMargin;
  plan.product_at = round_up(plan.ring_at + plan.ring + kMargin, 16);
  return plan;
}

// The products of a whole item stay, in the cache.
ConvPlan plan_large_kernel(const Layout& layout, const PackedConv::Impl& conv) {
  ConvPlan plan = large_kernel_blocks(layout, conv, kCache);
  plan.total = plan.product_at + ptrdiff_t{conv.co_padded} * plan.planes * plan.product;
  return plan;
}

// Gradients pass by plane by plane.
ConvPlan plan_large_kernel_backward_weights(const Layout& layout, const PackedConv::Impl& conv) {
  ConvPlan plan = large_kernel_blocks(layout, conv, std::numeric_limits<ptrdiff_t>::max());
  plan.total = plan.product_at + conv.co_padded * plan.product;
  return plan;
}

}  // namespace

ConvPlan plan_conv3d(const Layout& layout, const PackedConv::Impl& conv) {
  if (conv.size == 1) return plan_1x1x1(layout, conv);
  if (conv.size > 3) return plan_large_kernel(layout, conv);
  if (conv.algorithm == ConvAlgorithm::direct) return plan_direct(layout, conv);
  return plan_winograd(layout, conv);
}

ConvPlan plan_gradient(const Layout& layout, const PackedConv::Impl& conv) {
  if (conv.size == 3 && conv.n_points > 1) return plan_winograd_gradient(layout, conv);
  if (conv.size == 3) return plan_direct(layout, conv);
  if (conv.size > 3) return plan_large_kernel_backward_weights(layout, conv);
  ConvPlan plan;
  const int64_t n_rows = int64_t{layout.size.d} * layout.size.h;
  plan.rows = static_cast<int>(std::clamp<int64_t>(512 / layout.row, 1, n_rows));
  // Items of about a tenth of a patch: each leaves sums of its own, of all weights.
  plan.planes = std::max(8, divide_up(n_rows, int64_t{plan.rows} * 10));
  plan.n_bands = divide_up(n_rows, int64_t{plan.rows} * plan.planes);
  plan.chunk = std::min(conv.ci, 24);
  plan.operand = round_up(plan.rows * layout.row, 16);
  lay_out_scratch(plan, conv, 0);
  return plan;
}

int64_t conv3d_scratch_bytes(const Layout& layout, const PackedConv& conv) {
  return plan_conv3d(layout, conv.impl()).total * int64_t{sizeof(float)};
}

}  // namespace sr
