// The one operation nearly everything is made of (docs/architecture.md): 3D convolution, stride 1, zero "same" padding,
// with the reader's batch-norm and activation applied on the way in and the channel sums gathered on the way out.
//
//   y[co](v) = bias[co] + sum over ci, tap of weight[co][ci][tap] * a[ci](v + tap)
//   a[ci](v) = act(scale[ci] * x[ci](v) + shift[ci])   with a prologue,   x[ci](v) without
//   act(t)   = t for t >= 0, and for t < 0: exp(t) - 1 (ELU), or slope[ci] * t (PReLU) where there are slopes
//   sums[co] = { sum of y[co], sum of y[co]^2 } over all voxels
//
// a is zero outside the volume: the padding comes after the activation. Taps are 1x1x1, 3x3x3, 5x5x5 or 9x9x9.
#pragma once

#include <memory>

#include "kernels/features.h"

namespace sr {

// Batch-norm of the reader folded into an affine, one pair per input channel (length x.count), and its activation.
// scale null: neither; slope null: ELU.
template <class T>
struct Prologue {
  const T* scale = nullptr;
  const T* shift = nullptr;
  const T* slope = nullptr;
};

// weight: [co][ci][kz][ky][kx]; bias: [co] or null. Example: a unit of b4u4 is {48, 12, 3, w, nullptr}.
struct ConvWeights {
  int ci, co;
  int size;  // 1, 3, 5 or 9: the kernel's extent along each axis
  const float* weight;
  const float* bias = nullptr;
};

// How a 3x3x3 convolution is computed. `direct` multiplies all 27 taps; winograd2 and winograd4 work on F(2x2) and
// F(4x4) tiles over (z, y), with the three x taps direct: 2.25 and 4 times fewer multiplications, and rounding errors
// about 3 and 30 times those of `direct` (docs/perf-log.md).
enum class ConvAlgorithm { direct, winograd2, winograd4 };

// The specification: plain loops, double. x and y are channels of f; y must not overlap x. sums may be null.
void conv3d_forward_ref(Features<double> f, Channels x, Prologue<double> prologue, const ConvWeights& conv, Channels y,
                        ChannelSums* sums);

// Weights in the order in which the CPU kernels read them. Packed once for a network, shared by all threads.
class PackedConv {
 public:
  PackedConv(const ConvWeights& conv, ConvAlgorithm algorithm);
  ~PackedConv();
  PackedConv(PackedConv&&) noexcept;
  PackedConv& operator=(PackedConv&&) noexcept;
  struct Impl;
  const Impl& impl() const { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// Scratch memory of the CPU kernels, one per patch in flight: grows to what the largest layer needs, then stays.
class ConvScratch {
 public:
  explicit ConvScratch(int n_threads);
  ~ConvScratch();
  ConvScratch(ConvScratch&&) noexcept;
  int n_threads() const;
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// What a layer makes each thread of a ConvScratch keep, in bytes.
int64_t conv3d_scratch_bytes(const Layout& layout, const PackedConv& conv);

// As conv3d_forward_ref in float32, on scratch.n_threads() threads (OpenMP). f has the padded layout, is 64-byte
// aligned, and its padding lanes hold zeros before and after. The result does not depend on the number of threads: the
// work is cut into parts that depend on the sizes only, and their sums are added in one order.
void conv3d_forward_cpu(Features<float> f, Channels x, Prologue<float> prologue, const PackedConv& conv, Channels y,
                        ChannelSums* sums, ConvScratch& scratch);

}  // namespace sr
