// What the parts of the CPU convolution share: packed weights, the partition of the work, one thread's scratch.
#pragma once

#include <omp.h>

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include "kernels/conv3d.h"
#include "kernels/flush_subnormals.h"
#include "kernels/memory.h"

namespace sr {

// Output channels are packed in panels of at most 24, a multiple of every register block in use (4, 8, 12).
constexpr int kPanel = 24;
// Rows of an item of a 5x5x5 or 9x9x9 convolution into one channel: a multiple of what its register blocks hold on
// every target.
constexpr int kLargeKernelBand = 24;
// Floats before and behind each row of scratch: they stand for x = -1 and take what the last vector of a row overhangs.
constexpr ptrdiff_t kMargin = 16;

struct Panel {
  int first;         // output channel
  int width;         // 1, or a multiple of 4; the channels behind the last one have zero weights
  ptrdiff_t offset;  // of its weights: [point][ci][tap][width]
};

struct PackedConv::Impl {
  ConvAlgorithm algorithm;  // in effect: small layers are computed directly, whatever was asked for
  int size;                 // 1, 3, 5 or 9
  int ci, co, co_padded;    // co_padded: the panels' widths added up
  int n_points;             // 1; 16 for winograd2, 36 for winograd4
  int n_taps;               // multiplications per point and input channel: size^3 (direct), 3 (Winograd: along x)
  std::vector<Panel> panels;
  std::vector<float> weight;
  std::vector<float> bias;  // co_padded, zeros where there is none

  const float* panel_weight(const Panel& panel, int point, int channel) const {
    return weight.data() + panel.offset + (ptrdiff_t{point} * ci + channel) * n_taps * panel.width;
  }
};

// How a layer is cut into items and how much of it is in flight within an item. Depends on sizes alone.
//   3x3x3: an item is a band of `rows` rows (y) of `planes` planes (z), which it walks along z, `tile` planes at a
//   time. 1x1x1: an item is a run of `rows` rows of the whole volume; there are no planes. 5x5x5 and 9x9x9: an item is
//   a block of `rows` rows of `planes` planes.
struct ConvPlan {
  int tile = 1;  // outputs of a tile along y and z: 4, 2, or 1 for direct
  int rows = 1, planes = 1;
  int n_bands = 1, n_depths = 1;
  int chunk = 1;           // input channels that are transformed, then multiplied, together
  ptrdiff_t ring = 0;      // activated planes of one input channel, kept from step to step; a block of one channel
  ptrdiff_t band = 0;      // one plane of a band with the rows above and below that taps reach
  ptrdiff_t operand = 0;   // one channel's input of the multiplication
  ptrdiff_t product = 0;   // one channel's output of the multiplication; of a block, one plane of it
  ptrdiff_t wide_row = 0;  // of a block in scratch, with zeros behind it for taps that reach beyond the volume
  // Where the parts of a thread's scratch begin, and its size, in floats.
  ptrdiff_t ring_at = 0, band_at = 0, operand_at = 0, product_at = 0, total = 0;
  int n_items() const { return n_bands * n_depths; }
};

ConvPlan plan_conv3d(const Layout& layout, const PackedConv::Impl& conv);
// The same for the gradient of weights. conv: size, algorithm, points and channels; its weights are not looked at.
ConvPlan plan_gradient(const Layout& layout, const PackedConv::Impl& conv);

// The transforms cost as much for one channel as for many: they pay from a few channels on, on both sides.
ConvAlgorithm algorithm_in_effect(int size, int ci, int co, ConvAlgorithm wanted);
// Rows of Winograd's G: point p of a tile sees sum over the three taps t of G[p][t] * weight[t]. One row of zeros for
// `direct`.
std::span<const std::array<double, 3>> weight_transform(ConvAlgorithm algorithm);

// The scratch of one thread.
struct ThreadScratch {
  HugeBuffer buffer;
  int64_t prepared_for = 0;  // the job whose margins are zeroed
  float* data() { return buffer.data(); }
};

// What an item gathers of an output channel: sum and sum of squares of what was written, or on the way back the sums of
// kernels/conv3d_backward.h, in their order.
struct PartialSums {
  double first = 0, second = 0, third = 0;
};

// The epilogue of conv3d_backward_data_cpu: gradients pass back through activation and affine of the features they
// belong to.
struct BackwardData {
  const float* features;  // in the layout of the gradients
  Prologue<float> prologue;
  bool accumulate;
};

// One call of conv3d_forward_cpu or conv3d_backward_data_cpu.
struct ConvJob {
  int64_t id;  // counts the calls with one ConvScratch, from 1 on
  Features<float> f;
  Channels x, y;
  Prologue<float> prologue;
  const PackedConv::Impl* conv;
  ConvPlan plan;
  const float* mask;  // all bits set on voxels, clear on padding lanes; begins with a row, as long as a band
  const BackwardData* backward = nullptr;  // set: the results are gradients with respect to activations of y
};

// So much scratch for each thread.
void reserve(ConvScratch::Impl& scratch, ptrdiff_t n_floats);

struct ConvScratch::Impl {
  int n_threads;
  std::vector<ThreadScratch> of_thread;
  int64_t n_jobs = 0;
  std::vector<PartialSums> partial;  // [item][co]
  std::vector<float> gradients;      // [item][the sums of one item], of conv3d_backward_weights_cpu
  std::vector<float> mask;
};

// f(item, the scratch of the thread that computes it): threads take the items one by one, subnormal numbers as zeros.
template <class F>
void for_each_item(ConvScratch::Impl& scratch, int n_items, F f) {
#pragma omp parallel num_threads(scratch.n_threads)
  {
    const FlushSubnormals flush;
    ThreadScratch& mine = scratch.of_thread[omp_get_thread_num()];
#pragma omp for schedule(dynamic, 1)
    for (int item = 0; item < n_items; item++) f(item, mine);
  }
}

}  // namespace sr
