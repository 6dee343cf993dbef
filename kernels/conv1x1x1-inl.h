// 1x1x1 convolution: bottlenecks, compressors, the combination. Included once per SIMD target.
#if defined(SR_KERNELS_CONV1X1X1_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef SR_KERNELS_CONV1X1X1_INL_H
#undef SR_KERNELS_CONV1X1X1_INL_H
#else
#define SR_KERNELS_CONV1X1X1_INL_H
#endif

#include <algorithm>

#include "kernels/conv3d_epilogue-inl.h"
#include "kernels/multiply-inl.h"

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {

// to[c][v] = x[c][v], activated, for n_channels channels and the n_vectors vectors of a block of columns. Whole
// vectors: what lies in padding lanes and behind the end of the run is computed and never written.
template <template <class> class Activation, class D>
HWY_INLINE void pack_block(D d, const float* HWY_RESTRICT x, ptrdiff_t channel, int n_channels, int n_vectors,
                           Prologue<float> prologue, float* HWY_RESTRICT to) {
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  for (int c = 0; c < n_channels; c++, x += channel, to += kBlockVectors * lanes) {
    const Activation<D> activation(d, prologue, c);
    for (int v = 0; v < n_vectors; v++) hn::Store(activation(d, hn::LoadU(d, x + v * lanes)), d, to + v * lanes);
  }
}

// product[i] (+)= weight[0] x[i] + .. + weight[N-1] (x + (N-1) channel)[i]: for one output channel, where every input
// is used once and only the memory's bandwidth counts. The product stays in L1.
template <int N, class D>
HWY_INLINE ptrdiff_t add_channels(D d, const float* HWY_RESTRICT x, ptrdiff_t channel, const float* HWY_RESTRICT weight,
                                  bool accumulate, ptrdiff_t i, ptrdiff_t end, float* HWY_RESTRICT product) {
  const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d));
  for (; i + lanes <= end; i += lanes) {
    auto sum = accumulate ? hn::LoadU(d, product + i) : hn::Zero(d);
    SR_UNROLL for (int c = 0; c < N; c++) sum =
        hn::MulAdd(hn::LoadU(d, x + c * channel + i), hn::Set(d, weight[c]), sum);
    hn::StoreU(sum, d, product + i);
  }
  return i;
}

// A run of rows, anywhere in the volume: without taps there are no neighbours to mind. Each block of columns is packed,
// a chunk of input channels at a time, and multiplied while it is in L1: read where they lie, 72 channels would be as
// many pages; packed by whole runs, every line of operands would be fetched from L2 to be stored to.
class Conv1x1x1Item {
 public:
  Conv1x1x1Item(const ConvJob& job, int item, float* scratch, PartialSums* sums)
      : job_(job),
        plan_(job.plan),
        sums_(sums),
        operand_(scratch + plan_.operand_at),
        product_(scratch + plan_.product_at) {
    const Layout& layout = job.f.layout;
    const ptrdiff_t volume = ptrdiff_t{layout.size.d} * layout.plane;
    run_ = plan_.rows * layout.row;
    begin_ = ptrdiff_t{item} * plan_.planes * run_;
    end_ = std::min(volume, begin_ + plan_.planes * run_);
  }

  void run() {
    for (ptrdiff_t at = begin_; at < end_; at += run_) {
      const ptrdiff_t n = std::min(run_, end_ - at);
      if (job_.y.count == 1 && !job_.prologue.scale)
        combine(at, n);
      else
        for (int c0 = 0; c0 < job_.x.count; c0 += plan_.chunk) multiply_chunk(at, n, c0);
      for (int co = 0; co < job_.y.count; co++) write_rows(job_, co, product_ + co * plan_.product, n, at, sums_[co]);
    }
  }

 private:
  void combine(ptrdiff_t at, ptrdiff_t n) {
    const float* weight = job_.conv->panel_weight(job_.conv->panels[0], 0, 0);
    for (int c = 0; c < job_.x.count;) {
      const int step = c + 4 <= job_.x.count ? 4 : 1;
      const float* x = job_.f.at(job_.x.first + c) + at;
      if (step == 4)
        combine<4>(x, weight + c, c > 0, n);
      else
        combine<1>(x, weight + c, c > 0, n);
      c += step;
    }
  }

  template <int N>
  void combine(const float* x, const float* weight, bool accumulate, ptrdiff_t n) {
    const ptrdiff_t channel = job_.f.layout.channel;
    const ptrdiff_t i = add_channels<N>(Wide(), x, channel, weight, accumulate, 0, n, product_);
    add_channels<N>(Narrow(), x, channel, weight, accumulate, i, n, product_);
  }

  void multiply_chunk(ptrdiff_t at, ptrdiff_t n, int c0) {
    const Wide d;
    const ptrdiff_t lanes = static_cast<ptrdiff_t>(hn::Lanes(d)), columns = kBlockVectors * lanes;
    const int n_channels = std::min(plan_.chunk, job_.x.count - c0);
    const int n_vectors = static_cast<int>((n + lanes - 1) / lanes);
    const float* x = job_.f.at(job_.x.first + c0) + at;
    const ptrdiff_t channel = job_.f.layout.channel;
    Prologue<float> prologue = job_.prologue;
    if (prologue.scale) prologue = {prologue.scale + c0, prologue.shift + c0, prologue.slope};
    if (prologue.slope) prologue.slope += c0;
    Ahead ahead = next_inputs(at, c0 + n_channels);
    ahead.spread(n_blocks(*job_.conv, n_vectors));

    for (int v = 0; v < n_vectors; v += kBlockVectors) {
      const int n_here = std::min(kBlockVectors, n_vectors - v);
      if (!prologue.scale)
        pack_block<Plain>(d, x + v * lanes, channel, n_channels, n_here, prologue, operand_);
      else if (prologue.slope)
        pack_block<NormPRelu>(d, x + v * lanes, channel, n_channels, n_here, prologue, operand_);
      else
        pack_block<NormElu>(d, x + v * lanes, channel, n_channels, n_here, prologue, operand_);
      const ptrdiff_t row = 0;
      const Multiplication m = {.operand = operand_,
                                .operand_stride = columns,
                                .row = &row,
                                .n_channels = n_channels,
                                .product = product_ + v * lanes,
                                .product_stride = plan_.product,
                                .n_vectors = n_here,
                                .accumulate = c0 > 0};
      multiply<1, 1>(m, *job_.conv, 0, c0, ahead);
    }
  }

  // What is packed next: the chunk from channel c on, or the first one of the next run.
  Ahead next_inputs(ptrdiff_t at, int c) const {
    if (c == job_.x.count) {
      c = 0;
      at += run_;
    }
    if (at >= end_) return {};
    return {.run = job_.f.at(job_.x.first + c) + at,
            .channel_stride = job_.f.layout.channel,
            .n_runs = 1,
            .n_lines = static_cast<int>((std::min(run_, end_ - at) + 15) / 16)};
  }

  const ConvJob& job_;
  const ConvPlan& plan_;
  PartialSums* sums_;
  float *operand_, *product_;
  ptrdiff_t run_, begin_, end_;
};

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();
#endif
