// The three sums of strided_conv3d.h as matrix products: maps are read into panels of columns (what a convolution makes
// of its neighbours), chunk by chunk so that a panel stays in L2, and multiplied by panels of weights from registers.
// Work is cut into items by sizes alone, and every number is added up in one order, whatever the threads.
#include <omp.h>

#include <algorithm>
#include <vector>

#include "kernels/memory.h"
#include "kernels/simd_targets.h"
#include "kernels/strided_conv3d.h"

#ifndef SR_STRIDED_CONV3D_CPU_ONCE
#define SR_STRIDED_CONV3D_CPU_ONCE
namespace sr {
// Of a register block: what panels are made for.
struct PanelSizes {
  int rows, columns;
};
}  // namespace sr
#endif

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/strided_conv3d_cpu.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

#include "kernels/multiply-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {

// Rows of a register block; its columns are kPanelVectors vectors.
constexpr int kPanelRows = kManyRegisters ? 8 : 4;
constexpr int kPanelVectors = 3;

PanelSizes panel_sizes() {
  return {kPanelRows, kPanelVectors * static_cast<int>(hn::Lanes(hn::ScalableTag<float>()))};
}

// c[row][column] (+)= sum over k of a[k][row] b[k][column], one register block.
void multiply_panels(const float* a, const float* b, int n_k, float* c, ptrdiff_t c_stride, bool add) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  V sum[kPanelRows][kPanelVectors];
  SR_UNROLL for (int r = 0; r < kPanelRows; r++) SR_UNROLL for (int v = 0; v < kPanelVectors; v++) sum[r][v] =
      add ? hn::LoadU(d, c + r * c_stride + v * lanes) : hn::Zero(d);
  for (int k = 0; k < n_k; k++, a += kPanelRows, b += kPanelVectors * lanes) {
    V column[kPanelVectors];
    SR_UNROLL for (int v = 0; v < kPanelVectors; v++) column[v] = hn::Load(d, b + v * lanes);
    SR_UNROLL for (int r = 0; r < kPanelRows; r++) {
      const V row = hn::Set(d, a[r]);
      SR_UNROLL for (int v = 0; v < kPanelVectors; v++) accumulate(row, column[v], sum[r][v]);
    }
  }
  SR_UNROLL for (int r = 0; r < kPanelRows; r++) SR_UNROLL for (int v = 0; v < kPanelVectors; v++)
      hn::StoreU(sum[r][v], d, c + r * c_stride + v * lanes);
}

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sr {

HWY_EXPORT(panel_sizes);
HWY_EXPORT(multiply_panels);

namespace {

constexpr int kChunk = 256;     // rows of a panel of columns: with kTile columns 200 KB, within L2
constexpr int kTile = 192;      // columns of an item, a multiple of every target's block
constexpr int kRowGroup = 256;  // rows of an item
constexpr int kGradientRows =
    216;  // input channels and taps of an item of the weights' gradient: 8 channels of 27 taps
constexpr int64_t kGradientColumns = 8192;  // and the columns that it adds up

template <class I>
I rounded_up(I n, I multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

// Neighbouring columns of one row of a grid.
struct Run {
  int sample, z, y, x;
  int count;
};

}  // namespace

struct GatherScratch::Impl {
  struct Thread {
    HugeBuffer panel, product, rows;
    std::vector<double> sums;
    std::vector<Run> runs;
  };
  int n_threads;
  std::vector<Thread> of_thread;
  HugeBuffer weights;         // packed
  std::vector<double> parts;  // of the weights' gradient
};

GatherScratch::GatherScratch(int n_threads) : impl_(std::make_unique<Impl>()) {
  impl_->n_threads = std::max(1, n_threads);
  impl_->of_thread.resize(static_cast<size_t>(impl_->n_threads));
}
GatherScratch::~GatherScratch() = default;
int GatherScratch::n_threads() const {
  return impl_->n_threads;
}

namespace {

float* room(HugeBuffer& buffer, int64_t n) {
  if (buffer.size() < static_cast<size_t>(n)) buffer = HugeBuffer(static_cast<size_t>(n));
  return buffer.data();
}

// Before threads start: an exception must not leave one of them.
void make_room(GatherScratch::Impl& scratch, int64_t panel, int64_t rows, int64_t product, int64_t sums,
               int run_count) {
  for (GatherScratch::Impl::Thread& thread : scratch.of_thread) {
    room(thread.panel, panel);
    room(thread.rows, rows);
    room(thread.product, product);
    thread.sums.reserve(static_cast<size_t>(sums));
    thread.runs.reserve(static_cast<size_t>(run_count));
  }
}

// Columns first .. first + count - 1 of n grids, one behind another.
void list_runs(Size3 grid, int64_t first, int count, std::vector<Run>& runs) {
  runs.clear();
  while (count > 0) {
    const int64_t row = first / grid.w;
    Run run{};
    run.x = static_cast<int>(first % grid.w);
    run.y = static_cast<int>(row % grid.h);
    run.z = static_cast<int>(row / grid.h % grid.d);
    run.sample = static_cast<int>(row / grid.h / grid.d);
    run.count = std::min(count, grid.w - run.x);
    runs.push_back(run);
    first += run.count;
    count -= run.count;
  }
}

// What tap `tap` of channel `channel` reads for each column of the runs, `step` apart in `to`.
void read_columns(const Gather& g, const float* from, int channels, int channel, const GatherTap& tap,
                  const std::vector<Run>& runs, float* to, ptrdiff_t step) {
  for (const Run& run : runs) {
    const int z = g.from_stride * run.z + tap.dz, y = g.from_stride * run.y + tap.dy;
    const int x = g.from_stride * run.x + tap.dx;
    float* end = to + run.count * step;
    if (z < 0 || z >= g.from.d || y < 0 || y >= g.from.h) {
      for (; to != end; to += step) *to = 0;
      continue;
    }
    const float* row = from + (((int64_t{run.sample} * channels + channel) * g.from.d + z) * g.from.h + y) * g.from.w;
    int i = x;
    for (; to != end && i < 0; to += step, i += g.from_stride) *to = 0;
    if (step == 1 && g.from_stride == 1) {
      const auto inside = std::clamp<ptrdiff_t>(g.from.w - i, 0, end - to);
      std::copy_n(row + i, inside, to);
      to += inside;
    } else {
      for (; to != end && i < g.from.w; to += step, i += g.from_stride) *to = row[i];
    }
    for (; to != end; to += step) *to = 0;
  }
}

// Where the weight of (row, channel, tap) is.
struct WeightStrides {
  int64_t row, channel;
};

// [panel][k][rows of a panel], k = channel * n_taps + tap; rows beyond the last are zeros.
void pack_weights(const Gather& g, const float* weight, WeightStrides strides, int rows, int channels, int panel_rows,
                  float* packed, int n_threads) {
  const int n_panels = (rows + panel_rows - 1) / panel_rows;
#pragma omp parallel for num_threads(n_threads) schedule(static)
  for (int panel = 0; panel < n_panels; panel++) {
    float* to = packed + int64_t{panel} * channels * g.n_taps * panel_rows;
    for (int c = 0; c < channels; c++)
      for (int t = 0; t < g.n_taps; t++)
        for (int r = panel * panel_rows; r < (panel + 1) * panel_rows; r++)
          *to++ = r < rows ? weight[r * strides.row + c * strides.channel + g.tap[t].weight] : 0.0f;
  }
}

// Scatters a row of the product to where its columns belong.
void write_columns(const Gather& g, const float* product, int rows, int row, const std::vector<Run>& runs, float* to) {
  for (const Run& run : runs) {
    float* at = to +
                (((int64_t{run.sample} * rows + row) * g.to.d + g.to_stride * run.z + g.first_z) * g.to.h +
                 g.to_stride * run.y + g.first_y) *
                    g.to.w +
                g.to_stride * run.x + g.first_x;
    for (int i = 0; i < run.count; i++) at[i * g.to_stride] = *product++;
  }
}

void gather_product(const Gather& g, int n, int rows, int channels, const float* weight, WeightStrides strides,
                    const float* from, float* to, GatherScratch::Impl& scratch) {
  const PanelSizes panel = HWY_DYNAMIC_DISPATCH(panel_sizes)();
  const int n_k = channels * g.n_taps;
  const int n_panels = (rows + panel.rows - 1) / panel.rows;
  float* packed = room(scratch.weights, int64_t{n_panels} * panel.rows * n_k);
  pack_weights(g, weight, strides, rows, channels, panel.rows, packed, scratch.n_threads);
  const int64_t columns = n * g.grid.voxels();
  const int64_t n_tiles = (columns + kTile - 1) / kTile;
  const int64_t n_groups = (rows + kRowGroup - 1) / kRowGroup;
  make_room(scratch, int64_t{kChunk} * kTile, kTile, int64_t{kRowGroup} * kTile, 0, kTile);
#pragma omp parallel num_threads(scratch.n_threads)
  {
    GatherScratch::Impl::Thread& mine = scratch.of_thread[omp_get_thread_num()];
    float *const panels = mine.panel.data(), *const line = mine.rows.data(), *const product = mine.product.data();
#pragma omp for schedule(dynamic)
    for (int64_t item = 0; item < n_tiles * n_groups; item++) {
      const int64_t first = item / n_groups * kTile;
      const int count = static_cast<int>(std::min<int64_t>(kTile, columns - first));
      const int first_row = static_cast<int>(item % n_groups) * kRowGroup;
      const int n_rows = std::min(kRowGroup, rows - first_row);
      list_runs(g.grid, first, count, mine.runs);
      for (int k0 = 0; k0 < n_k; k0 += kChunk) {
        const int chunk = std::min(kChunk, n_k - k0);
        for (int k = 0; k < chunk; k++) {  // [block of columns][k][column]
          read_columns(g, from, channels, (k0 + k) / g.n_taps, g.tap[(k0 + k) % g.n_taps], mine.runs, line, 1);
          for (int b = 0; b < count; b += panel.columns) {
            float* at = panels + (int64_t{b} * chunk + int64_t{k} * panel.columns);
            const int used = std::min(panel.columns, count - b);
            std::copy_n(line + b, used, at);
            std::fill(at + used, at + panel.columns, 0.0f);
          }
        }
        for (int r = 0; r < n_rows; r += panel.rows)
          for (int b = 0; b < count; b += panel.columns) HWY_DYNAMIC_DISPATCH(multiply_panels)
        (packed + (int64_t{(first_row + r) / panel.rows} * n_k + k0) * panel.rows, panels + int64_t{b} * chunk, chunk,
         product + int64_t{r} * kTile + b, kTile, k0 > 0);
      }
      for (int r = 0; r < n_rows; r++)
        write_columns(g, product + int64_t{r} * kTile, rows, first_row + r, mine.runs, to);
    }
  }
}

}  // namespace

void strided_conv3d_forward_cpu(const StridedConv& conv, int n, const float* weight, const float* x, float* y,
                                GatherScratch& scratch) {
  const GatherList list = forward_gathers(conv);
  const WeightStrides strides = {int64_t{conv.ci} * conv.taps(), conv.taps()};
  for (int i = 0; i < list.n; i++)
    gather_product(list.gather[i], n, conv.co, conv.ci, weight, strides, x, y, scratch.impl());
}

void strided_conv3d_backward_data_cpu(const StridedConv& conv, int n, const float* weight, const float* dy, float* dx,
                                      GatherScratch& scratch) {
  const GatherList list = backward_gathers(conv);
  const WeightStrides strides = {conv.taps(), int64_t{conv.ci} * conv.taps()};
  // A 1x1x1 convolution of stride 2 reads every other voxel: nothing reaches the rest.
  if (conv.size < conv.stride) std::fill_n(dx, n * conv.ci * conv.in.voxels(), 0.0f);
  for (int i = 0; i < list.n; i++)
    if (list.gather[i].n_taps > 0)
      gather_product(list.gather[i], n, conv.ci, conv.co, weight, strides, dy, dx, scratch.impl());
}

void strided_conv3d_backward_weights_cpu(const StridedConv& conv, int n, const float* x, const float* dy,
                                         float* dweight, GatherScratch& scratch_of_all) {
  GatherScratch::Impl& scratch = scratch_of_all.impl();
  const PanelSizes panel = HWY_DYNAMIC_DISPATCH(panel_sizes)();
  const Gather g = forward_gathers(conv).gather[0];
  const int rows = conv.ci * g.n_taps;  // of the product: [ci, tap][co]
  const int width = rounded_up(conv.co, panel.columns);
  const int64_t out = g.to.voxels(), columns = n * out;
  const int64_t n_parts = (columns + kGradientColumns - 1) / kGradientColumns;
  const int64_t n_groups = (rows + kGradientRows - 1) / kGradientRows;
  scratch.parts.resize(static_cast<size_t>(n_parts * rows * conv.co));
  const int64_t padded_rows = rounded_up(kGradientRows, panel.rows);
  make_room(scratch, int64_t{kChunk} * width, kChunk * padded_rows, padded_rows * width,
            int64_t{kGradientRows} * conv.co, kChunk);
#pragma omp parallel num_threads(scratch.n_threads)
  {
    GatherScratch::Impl::Thread& mine = scratch.of_thread[omp_get_thread_num()];
    float *const gradients = mine.panel.data(), *const inputs = mine.rows.data(), *const product = mine.product.data();
#pragma omp for schedule(dynamic)
    for (int64_t item = 0; item < n_parts * n_groups; item++) {
      const int64_t part = item / n_groups, last = std::min(columns, (part + 1) * kGradientColumns);
      const int first_row = static_cast<int>(item % n_groups) * kGradientRows;
      const int n_rows = std::min(kGradientRows, rows - first_row);
      mine.sums.assign(static_cast<size_t>(n_rows * conv.co), 0.0);
      for (int64_t first = part * kGradientColumns; first < last; first += kChunk) {
        const int chunk = static_cast<int>(std::min<int64_t>(kChunk, last - first));
        for (int c = 0; c < width; c++) {  // [block of co][column][co]
          float* to = gradients + int64_t{c / panel.columns} * panel.columns * chunk + c % panel.columns;
          for (int k = 0; k < chunk;) {
            const int64_t sample = (first + k) / out, voxel = (first + k) % out;
            const int last_k = static_cast<int>(std::min<int64_t>(chunk, k + out - voxel));
            const float* from = dy + (sample * conv.co + c) * out + voxel - k;
            for (; k < last_k; k++) to[int64_t{k} * panel.columns] = c < conv.co ? from[k] : 0.0f;
          }
        }
        list_runs(g.grid, first, chunk, mine.runs);
        for (int r = 0; r < rounded_up(n_rows, panel.rows); r++) {  // [panel of rows][column][row]
          float* to = inputs + int64_t{r / panel.rows} * panel.rows * chunk + r % panel.rows;
          if (r < n_rows)
            read_columns(g, x, conv.ci, (first_row + r) / g.n_taps, g.tap[(first_row + r) % g.n_taps], mine.runs, to,
                         panel.rows);
          else
            for (int k = 0; k < chunk; k++) to[int64_t{k} * panel.rows] = 0;
        }
        for (int r = 0; r < n_rows; r += panel.rows)
          for (int c = 0; c < conv.co; c += panel.columns) HWY_DYNAMIC_DISPATCH(multiply_panels)
        (inputs + int64_t{r} * chunk, gradients + int64_t{c} * chunk, chunk, product + int64_t{r} * width + c, width,
         false);
        for (int r = 0; r < n_rows; r++)
          for (int c = 0; c < conv.co; c++) mine.sums[r * conv.co + c] += double{product[int64_t{r} * width + c]};
      }
      std::ranges::copy(mine.sums, scratch.parts.begin() + (part * rows + first_row) * conv.co);
    }
#pragma omp for schedule(static)
    for (int co = 0; co < conv.co; co++)
      for (int r = 0; r < rows; r++) {
        double sum = 0;
        for (int64_t part = 0; part < n_parts; part++) sum += scratch.parts[(part * rows + r) * conv.co + co];
        dweight[int64_t{co} * rows + r] += static_cast<float>(sum);
      }
  }
}

}  // namespace sr
#endif
