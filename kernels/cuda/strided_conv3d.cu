// The sums of strided_conv3d.h as products of two matrices that are never written down, on CUDA cores:
//
//                        rows              columns                    k, which is summed over
//   gather               channels of `to`  voxels of n grids          channels of `from` x taps
//   weights' gradient    co                ci x taps                  voxels of n maps of y
//
// A block makes a tile of rows x columns. It reads a slab of `depth` k's of both matrices into registers while it
// multiplies the one before, which lies in shared memory, and stores it into the other of two buffers: one barrier a
// slab. A thread adds each of its numbers up in the order of k, so that the tile's shape does not show in the result.
#include "kernels/cuda/strided_conv3d.h"

#include <algorithm>

#include "kernels/cuda/check.h"
#include "kernels/cuda/quads.cuh"

namespace sr::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMostTaps = 27;

// From one k to the next in shared memory: 4 modulo 32, so that 4 neighbours of 8 k's fall on 32 banks.
constexpr int pitch_of(int n) {
  return n % 32 == 4 ? n : n + 4;
}

template <int ROWS, int COLUMNS, int DEPTH, int THREAD_ROWS, int THREAD_COLUMNS>
struct Tile {
  static constexpr int rows = ROWS, columns = COLUMNS, depth = DEPTH;
  static constexpr int thread_rows = THREAD_ROWS, thread_columns = THREAD_COLUMNS;
  static constexpr int row_pitch = pitch_of(ROWS), column_pitch = pitch_of(COLUMNS);
  // Numbers of a slab that a thread moves.
  static constexpr int row_share = tiles(ROWS * DEPTH, kThreads), column_share = COLUMNS * DEPTH / kThreads;
  static_assert(ROWS / THREAD_ROWS * (COLUMNS / THREAD_COLUMNS) == kThreads);
  static_assert(ROWS * DEPTH % kThreads == 0 || ROWS * DEPTH < kThreads);
  static_assert(COLUMNS * DEPTH % kThreads == 0 && DEPTH % 8 == 0 && kThreads % (4 * DEPTH) == 0);

  static __device__ __forceinline__ int first_row() {
    return static_cast<int>(threadIdx.x) / (COLUMNS / THREAD_COLUMNS) * THREAD_ROWS;
  }
  static __device__ __forceinline__ int first_column() {
    return static_cast<int>(threadIdx.x) % (COLUMNS / THREAD_COLUMNS) * THREAD_COLUMNS;
  }
};
using Large = Tile<64, 128, 16, 8, 4>;   // 32 multiply-adds to three 16-byte reads
using Small = Tile<32, 32, 32, 2, 2>;    // few columns (dense layers), or too few blocks otherwise
using FewRows = Tile<4, 256, 16, 4, 1>;  // the way back to an image

// The least blocks of large tiles that are taken: enough for most of a GPU's multiprocessors. A constant, so that
// shapes alone say which kernel runs.
constexpr int64_t kLeastBlocks = 96;

// f(a tile).
template <class F>
void with_tile(int rows, int columns, int64_t parts, F f) {
  if (columns <= Small::columns) return f(Small{});
  if (rows <= 2 * FewRows::rows) return f(FewRows{});
  const int64_t blocks = int64_t{tiles(rows, Large::rows)} * tiles(columns, Large::columns) * parts;
  return blocks < kLeastBlocks ? f(Small{}) : f(Large{});
}

// A thread's numbers of a slab where neighbouring threads take neighbouring k's, which lie side by side in device
// memory: one k, and places first, first + step, ... along the other side. A warp has 8 k's of 4 places.
template <class T>
struct AlongDepth {
  static constexpr int step = kThreads / T::depth;
  int k, first;
  __device__ __forceinline__ AlongDepth() {
    const int thread = static_cast<int>(threadIdx.x);
    k = thread % 8 + 8 * (thread / 32 % (T::depth / 8));
    first = thread / 8 % 4 + 4 * (thread / (4 * T::depth));
  }
};

template <int N>
__device__ __forceinline__ void load_run(const float* from, float (&to)[N]) {
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int i = 0; i < N; i += 4) {
      const float4 v = *reinterpret_cast<const float4*>(from + i);
      to[i] = v.x, to[i + 1] = v.y, to[i + 2] = v.z, to[i + 3] = v.w;
    }
  } else if constexpr (N == 2) {
    const float2 v = *reinterpret_cast<const float2*>(from);
    to[0] = v.x, to[1] = v.y;
  } else {
#pragma unroll
    for (int i = 0; i < N; i++) to[i] = from[i];
  }
}

// sum[r][c] = the thread's part of the product over n_slabs slabs. reader.fetch() reads the next slab into registers,
// reader.put() stores it.
template <class T, class Reader>
__device__ __forceinline__ void multiply(int n_slabs, Reader& reader, float (&sum)[T::thread_rows][T::thread_columns]) {
  SR_SHARED(float, rows, [2][T::depth * T::row_pitch]);
  SR_SHARED(float, columns, [2][T::depth * T::column_pitch]);
  float row_numbers[T::row_share], column_numbers[T::column_share];
#pragma unroll
  for (int r = 0; r < T::thread_rows; r++)
#pragma unroll
    for (int c = 0; c < T::thread_columns; c++) sum[r][c] = 0.0f;
  if (n_slabs > 0) {
    reader.fetch(row_numbers, column_numbers);
    reader.put(row_numbers, column_numbers, rows[0], columns[0]);
  }
  __syncthreads();
  for (int slab = 0; slab < n_slabs; slab++) {
    const bool more = slab + 1 < n_slabs;
    if (more) reader.fetch(row_numbers, column_numbers);
    const float* row = rows[slab & 1] + T::first_row();
    const float* column = columns[slab & 1] + T::first_column();
#pragma unroll 8
    for (int k = 0; k < T::depth; k++, row += T::row_pitch, column += T::column_pitch) {
      float a[T::thread_rows], b[T::thread_columns];
      load_run(row, a);
      load_run(column, b);
#pragma unroll
      for (int r = 0; r < T::thread_rows; r++)
#pragma unroll
        for (int c = 0; c < T::thread_columns; c++) sum[r][c] = fmaf(a[r], b[c], sum[r][c]);
    }
    // Nobody reads the other buffer any more: all have passed the barrier behind the slab before.
    if (more) reader.put(row_numbers, column_numbers, rows[(slab + 1) & 1], columns[(slab + 1) & 1]);
    __syncthreads();
  }
}

// ---- gather ----

struct GatherArguments {
  Gather gather;
  const float* weight;  // of (row, channel, tap) at row * weight_row + channel * weight_channel + tap
  int64_t weight_row, weight_channel;
  const float* from;
  float* to;
  int rows, channels, columns;
};

struct Voxel {
  int sample, z, y, x;
};
__device__ __forceinline__ Voxel voxel_of(int i, Size3 size) {
  const int row = i / size.w, plane = row / size.h;
  return {plane / size.d, plane % size.d, row % size.h, i % size.w};
}
__device__ __forceinline__ int voxels_of(Size3 size) {
  return size.d * size.h * size.w;
}

// A k of a gather.
struct ChannelTap {
  int channel, tap;
  __device__ __forceinline__ void advance(int channels, int taps, int n_taps) {
    channel += channels;
    tap += taps;
    if (tap >= n_taps) tap -= n_taps, channel++;
  }
};

template <class T>
struct GatherReader {
  // Taps in shared memory: where each reads, counted from the voxel that a column stands for, and its weight.
  const int *offset, *weight_of;
  int n_taps, channels, rows;
  // Of the thread's numbers of the weights, from one to the next: places in a row of the tile, in k, in the weights'
  // memory and in shared memory.
  bool has_rows;
  int row, row_step, row_k_step, row_put, row_put_step;
  ChannelTap row_at;
  int64_t weight_channel, weight_step;
  const float* weight;  // of the thread's first row
  // Of its numbers of the columns: one column, the k's one behind another.
  ChannelTap column_at;
  int column_put;
  uint32_t reached;  // taps that do not leave the map
  int64_t from_channel;
  const float* from;
  int slab_channels, slab_taps, rest_channels, rest_taps;

  __device__ __forceinline__ GatherReader(const GatherArguments& a, const int* tap_offset, const int* tap_weight)
      : offset(tap_offset), weight_of(tap_weight), n_taps(a.gather.n_taps), channels(a.channels), rows(a.rows) {
    const int thread = static_cast<int>(threadIdx.x);
    const int some_taps = n_taps > 0 ? n_taps : 1;
    slab_channels = T::depth / some_taps, slab_taps = T::depth % some_taps;
    rest_channels = (T::depth - T::column_share) / some_taps, rest_taps = (T::depth - T::column_share) % some_taps;

    // Along the rows where those are neighbours in memory (a dense layer's way back), else along k.
    int row_k;
    if (a.weight_row == 1) {
      row = thread % T::rows, row_k = thread / T::rows;
      row_step = 0, row_k_step = kThreads / T::rows;
    } else {
      const AlongDepth<T> place;
      row = place.first, row_k = place.k;
      row_step = place.step, row_k_step = 0;
    }
    has_rows = thread < T::rows * T::depth;
    row_put = row_k * T::row_pitch + row;
    row_put_step = row_k_step * T::row_pitch + row_step;
    row += static_cast<int>(blockIdx.y) * T::rows;
    row_at = {row_k / some_taps, row_k % some_taps};
    weight = a.weight + row * a.weight_row;
    weight_channel = a.weight_channel;
    weight_step = row_step * a.weight_row + row_k_step * a.weight_channel;

    const int column = thread % T::columns, column_k = thread / T::columns * T::column_share;
    column_put = column_k * T::column_pitch + column;
    column_at = {column_k / some_taps, column_k % some_taps};
    const Gather& g = a.gather;
    const int number = static_cast<int>(blockIdx.x) * T::columns + column;
    const Voxel v = voxel_of(number < a.columns ? number : 0, g.grid);
    const int z = g.from_stride * v.z, y = g.from_stride * v.y, x = g.from_stride * v.x;
    from_channel = voxels_of(g.from);
    from = a.from + v.sample * from_channel * channels + (z * g.from.h + y) * g.from.w + x;
    reached = 0;
    if (number < a.columns)
      for (int t = 0; t < n_taps; t++) {
        const int tz = z + g.tap[t].dz, ty = y + g.tap[t].dy, tx = x + g.tap[t].dx;
        if (tz >= 0 && tz < g.from.d && ty >= 0 && ty < g.from.h && tx >= 0 && tx < g.from.w) reached |= 1u << t;
      }
  }

  __device__ __forceinline__ void fetch(float (&of_rows)[T::row_share], float (&of_columns)[T::column_share]) {
    const float* at = weight + row_at.channel * weight_channel + weight_of[row_at.tap];
#pragma unroll
    for (int i = 0; i < T::row_share; i++) {
      const bool inside = has_rows && row + i * row_step < rows && row_at.channel + i * row_k_step < channels;
      of_rows[i] = inside ? at[i * weight_step] : 0.0f;
    }
    row_at.advance(slab_channels, slab_taps, n_taps);
#pragma unroll
    for (int i = 0; i < T::column_share; i++) {
      const bool inside = (reached >> column_at.tap & 1u) && column_at.channel < channels;
      of_columns[i] = inside ? from[column_at.channel * from_channel + offset[column_at.tap]] : 0.0f;
      column_at.advance(0, 1, n_taps);
    }
    column_at.advance(rest_channels, rest_taps, n_taps);
  }
  __device__ __forceinline__ void put(const float (&of_rows)[T::row_share], const float (&of_columns)[T::column_share],
                                      float* to_rows, float* to_columns) const {
#pragma unroll
    for (int i = 0; i < T::row_share; i++)
      if (has_rows) to_rows[row_put + i * row_put_step] = of_rows[i];
#pragma unroll
    for (int i = 0; i < T::column_share; i++) to_columns[column_put + i * T::column_pitch] = of_columns[i];
  }
};

// grid: (tiles of columns, tiles of rows)
template <class T>
__global__ void __launch_bounds__(kThreads, 2) gather_product(GatherArguments a) {
  SR_SHARED(int, offset, [kMostTaps]);
  SR_SHARED(int, weight_of, [kMostTaps]);
  const Gather& g = a.gather;
  for (int t = static_cast<int>(threadIdx.x); t < g.n_taps; t += kThreads) {
    offset[t] = (g.tap[t].dz * g.from.h + g.tap[t].dy) * g.from.w + g.tap[t].dx;
    weight_of[t] = g.tap[t].weight;
  }
  __syncthreads();
  float sum[T::thread_rows][T::thread_columns];
  GatherReader<T> reader(a, offset, weight_of);
  multiply<T>((a.channels * g.n_taps + T::depth - 1) / T::depth, reader, sum);

  const int row = static_cast<int>(blockIdx.y) * T::rows + T::first_row();
  const int64_t to_channel = voxels_of(g.to);
#pragma unroll
  for (int c = 0; c < T::thread_columns; c++) {
    const int column = static_cast<int>(blockIdx.x) * T::columns + T::first_column() + c;
    if (column >= a.columns) break;
    const Voxel v = voxel_of(column, g.grid);
    const int z = g.to_stride * v.z + g.first_z, y = g.to_stride * v.y + g.first_y, x = g.to_stride * v.x + g.first_x;
    float* to = a.to + (int64_t{v.sample} * a.rows + row) * to_channel + (z * g.to.h + y) * g.to.w + x;
#pragma unroll
    for (int r = 0; r < T::thread_rows; r++)
      if (row + r < a.rows) to[r * to_channel] = sum[r][c];
  }
}

void launch_gather(const GatherArguments& a, Stream stream) {
  with_tile(a.rows, a.columns, 1, [&](auto tile) {
    using T = decltype(tile);
    const dim3 grid(static_cast<unsigned>(tiles(a.columns, T::columns)), static_cast<unsigned>(tiles(a.rows, T::rows)));
    SR_LAUNCH(gather_product<T>, grid, dim3(kThreads), 0, stream, a);
  });
}

// ---- the weights' gradient ----

constexpr int kBlocks = 512;          // that the work is shared out among, where there is enough
constexpr int kLeastVoxels = 256;     // of a part
constexpr int kMostVoxels = 1 << 15;  // that are added up in float32

struct GradientArguments {
  Gather gather;  // of the forward pass
  const float *x, *dy;
  int co, ci, columns, n_voxels;  // columns: ci x taps; voxels of y, of all samples
  int n_parts;
  float* sums;  // [part][co][column]; with one part the gradient itself, which is added to
};

struct Parts {
  int n;
  int64_t weights;
};
Parts parts_of(const StridedConv& conv, int n) {
  const int64_t n_voxels = n * conv.out().voxels();
  const int64_t n_tiles = int64_t{tiles(conv.co, Large::rows)} * tiles(conv.ci * conv.taps(), Large::columns);
  const int64_t parts = std::max(
      std::clamp<int64_t>(kBlocks / n_tiles, 1, std::max<int64_t>(1, n_voxels / kLeastVoxels)), n_voxels / kMostVoxels);
  return {static_cast<int>(parts), conv.weights()};
}

template <class T>
struct GradientReader {
  static constexpr int step = kThreads / T::depth;
  // Taps whose places along z, y and x must lie within the map: bits 1 << (dz + 1), 8 << (dy + 1), 64 << (dx + 1) of
  // what a column needs; a column that is none needs bit 9, which no voxel has.
  int needed[T::column_share];
  int64_t x_offset[T::column_share];
  Size3 in, out;
  int stride, co;
  int64_t x_sample, dy_channel;
  const float *x, *dy;
  Voxel at, by;  // the thread's voxel of y, and what a slab is in voxels
  int voxel, last, row, row_put, column_put;

  __device__ __forceinline__ GradientReader(const GradientArguments& a, int first_voxel, int last_voxel)
      : in(a.gather.from), out(a.gather.to), stride(a.gather.from_stride), co(a.co), x(a.x), dy(a.dy) {
    const AlongDepth<T> place;
    const Gather& g = a.gather;
    const int channel_voxels = voxels_of(in);
    x_sample = int64_t{a.ci} * channel_voxels;
    dy_channel = voxels_of(out);
    row = static_cast<int>(blockIdx.y) * T::rows + place.first;
    row_put = place.k * T::row_pitch + place.first;
    column_put = place.k * T::column_pitch + place.first;
#pragma unroll
    for (int i = 0; i < T::column_share; i++) {
      const int column = static_cast<int>(blockIdx.x) * T::columns + place.first + i * step;
      const GatherTap tap = g.tap[column % g.n_taps];
      needed[i] = column < a.columns ? 1 << (tap.dz + 1) | 8 << (tap.dy + 1) | 64 << (tap.dx + 1) : 1 << 9;
      x_offset[i] = int64_t{column / g.n_taps} * channel_voxels + (tap.dz * in.h + tap.dy) * in.w + tap.dx;
    }
    voxel = first_voxel + place.k;
    last = last_voxel;
    at = voxel_of(voxel, out);
    by = voxel_of(T::depth, out);
  }

  __device__ __forceinline__ void fetch(float (&of_rows)[T::row_share], float (&of_columns)[T::column_share]) {
    const int z = stride * at.z, y = stride * at.y, x0 = stride * at.x;
    const bool inside = voxel < last;
    const int has = !inside ? 0
                            : 2 | 16 | 128 | (z > 0) | (z + 1 < in.d) << 2 | (y > 0) << 3 | (y + 1 < in.h) << 5 |
                                  (x0 > 0) << 6 | (x0 + 1 < in.w) << 8;
    const float* from_dy = dy + (int64_t{at.sample} * co + row) * dy_channel + (at.z * out.h + at.y) * out.w + at.x;
#pragma unroll
    for (int i = 0; i < T::row_share; i++)
      of_rows[i] = inside && row + i * step < co ? from_dy[i * step * dy_channel] : 0.0f;
    const float* from_x = x + at.sample * x_sample + (z * in.h + y) * in.w + x0;
#pragma unroll
    for (int i = 0; i < T::column_share; i++) of_columns[i] = (needed[i] & ~has) == 0 ? from_x[x_offset[i]] : 0.0f;
    voxel += T::depth;
    at.x += by.x, at.y += by.y, at.z += by.z, at.sample += by.sample;
    if (at.x >= out.w) at.x -= out.w, at.y++;
    if (at.y >= out.h) at.y -= out.h, at.z++;
    if (at.z >= out.d) at.z -= out.d, at.sample++;
  }
  __device__ __forceinline__ void put(const float (&of_rows)[T::row_share], const float (&of_columns)[T::column_share],
                                      float* to_rows, float* to_columns) const {
    if (threadIdx.x < T::rows * T::depth)
#pragma unroll
      for (int i = 0; i < T::row_share; i++) to_rows[row_put + i * step] = of_rows[i];
#pragma unroll
    for (int i = 0; i < T::column_share; i++) to_columns[column_put + i * step] = of_columns[i];
  }
};

// grid: (tiles of columns, tiles of rows, parts)
template <class T>
__global__ void __launch_bounds__(kThreads, 2) gradient_product(GradientArguments a) {
  const int part = static_cast<int>(blockIdx.z), n_slabs = (a.n_voxels + T::depth - 1) / T::depth;
  const int first = static_cast<int>(int64_t{n_slabs} * part / a.n_parts);
  const int last = static_cast<int>(int64_t{n_slabs} * (part + 1) / a.n_parts);
  float sum[T::thread_rows][T::thread_columns];
  GradientReader<T> reader(a, first * T::depth, a.n_voxels);
  multiply<T>(last - first, reader, sum);

  const int row = static_cast<int>(blockIdx.y) * T::rows + T::first_row();
  const int column = static_cast<int>(blockIdx.x) * T::columns + T::first_column();
  float* to = a.sums + (int64_t{part} * a.co + row) * a.columns + column;
#pragma unroll
  for (int r = 0; r < T::thread_rows; r++)
#pragma unroll
    for (int c = 0; c < T::thread_columns; c++)
      if (row + r < a.co && column + c < a.columns) {
        float& at = to[int64_t{r} * a.columns + c];
        at = a.n_parts == 1 ? at + sum[r][c] : sum[r][c];
      }
}

__global__ void __launch_bounds__(kThreads)
    add_gradient_parts(const float* partial, int n_parts, int64_t n, float* to) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= n) return;
  double sum = 0;
  for (int part = 0; part < n_parts; part++) sum += double{partial[part * n + i]};
  to[i] += static_cast<float>(sum);
}

}  // namespace

Result strided_conv3d_forward(const StridedConv& conv, int n, const float* weight, const float* x, float* y,
                              Stream stream) {
  const GatherList list = forward_gathers(conv);
  const int64_t taps = conv.taps();
  for (int i = 0; i < list.n; i++)
    launch_gather({.gather = list.gather[i],
                   .weight = weight,
                   .weight_row = conv.ci * taps,
                   .weight_channel = taps,
                   .from = x,
                   .to = y,
                   .rows = conv.co,
                   .channels = conv.ci,
                   .columns = static_cast<int>(n * list.gather[i].grid.voxels())},
                  stream);
  return launched("a step of the critic");
}

// Grids that no tap reaches (1x1x1 of stride 2) have no k: their zeros are written as sums of nothing.
Result strided_conv3d_backward_data(const StridedConv& conv, int n, const float* weight, const float* dy, float* dx,
                                    Stream stream) {
  const GatherList list = backward_gathers(conv);
  const int64_t taps = conv.taps();
  for (int i = 0; i < list.n; i++)
    launch_gather({.gather = list.gather[i],
                   .weight = weight,
                   .weight_row = taps,
                   .weight_channel = conv.ci * taps,
                   .from = dy,
                   .to = dx,
                   .rows = conv.ci,
                   .channels = conv.co,
                   .columns = static_cast<int>(n * list.gather[i].grid.voxels())},
                  stream);
  return launched("a step of the critic");
}

int64_t strided_conv3d_partial(const StridedConv& conv, int n) {
  const Parts parts = parts_of(conv, n);
  return parts.n > 1 ? parts.n * parts.weights : 0;
}

Result strided_conv3d_backward_weights(const StridedConv& conv, int n, const float* x, const float* dy, float* partial,
                                       float* dweight, Stream stream) {
  const Parts parts = parts_of(conv, n);
  const GradientArguments a = {.gather = forward_gathers(conv).gather[0],
                               .x = x,
                               .dy = dy,
                               .co = conv.co,
                               .ci = conv.ci,
                               .columns = conv.ci * conv.taps(),
                               .n_voxels = static_cast<int>(n * conv.out().voxels()),
                               .n_parts = parts.n,
                               .sums = parts.n == 1 ? dweight : partial};
  with_tile(a.co, a.columns, parts.n, [&](auto tile) {
    using T = decltype(tile);
    const dim3 grid(static_cast<unsigned>(tiles(a.columns, T::columns)), static_cast<unsigned>(tiles(a.co, T::rows)),
                    static_cast<unsigned>(parts.n));
    SR_LAUNCH(gradient_product<T>, grid, dim3(kThreads), 0, stream, a);
  });
  if (parts.n > 1) {
    const auto blocks = static_cast<unsigned>((parts.weights + kThreads - 1) / kThreads);
    SR_LAUNCH(add_gradient_parts, dim3(blocks), dim3(kThreads), 0, stream, partial, parts.n, parts.weights, dweight);
  }
  return launched("a step of the critic");
}

}  // namespace sr::cuda
