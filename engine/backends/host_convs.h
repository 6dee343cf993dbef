// The convolutions of the backends that run on the host, in their two precisions, for inference and for training:
// `CpuConvs` in float32, `RefConvs` by plain loops in double. Whoever runs a network is a template over one of them.
#pragma once

#include <string>
#include <vector>

#include "engine/networks/network.h"
#include "engine/networks/norm_mode.h"
#include "kernels/conv3d_backward.h"

namespace sr {

// A patch in flight: its features and, in training, their gradients, in one layout.
template <class T>
struct PatchGradients {
  Features<T> f, g;
};

enum class Directions { forward, both };

// Weights packed for the kernels: once for a network, or for each step of a training. Shared by all patches in flight.
class CpuConvs {
 public:
  using Value = float;
  static constexpr bool threads_share_a_patch = true;
  static Layout layout(Size3 patch) { return padded_layout(patch); }
  static std::string name();  // "CPU (AVX2)"

  CpuConvs(const Network& network, ConvAlgorithm algorithm, Directions directions = Directions::forward);

  // Scratch that each thread keeps beside the patches, in bytes: enough for the largest layer.
  int64_t scratch_bytes(const Layout& layout) const;

  void forward(Features<float> f, Channels x, Prologue<float> prologue, const ConvLayer& conv, Channels y,
               ChannelSums* sums, ConvScratch& scratch) const;
  // Of Directions::both. kernels/conv3d_backward.h has the formulas.
  void backward_data(const PatchGradients<float>& patch, Channels x, Prologue<float> prologue, const ConvLayer& conv,
                     Channels y, bool accumulate, GradientSums* sums, ConvScratch& scratch) const;
  void backward_weights(const std::vector<PatchGradients<float>>& patches, Channels x, Prologue<float> prologue,
                        const ConvLayer& conv, Channels y, double* dweight, double* dbias, ConvScratch& scratch) const;

 private:
  ConvAlgorithm algorithm_;
  std::vector<PackedConv> forward_, backward_;  // by id
};

class RefConvs {
 public:
  using Value = double;
  static constexpr bool threads_share_a_patch = false;
  static Layout layout(Size3 patch) { return dense_layout(patch); }
  static std::string name() { return "reference (plain loops, double)"; }

  RefConvs(const Network&, ConvAlgorithm, Directions = Directions::forward) {}

  int64_t scratch_bytes(const Layout&) const { return 0; }

  void forward(Features<double> f, Channels x, Prologue<double> prologue, const ConvLayer& conv, Channels y,
               ChannelSums* sums, ConvScratch&) const {
    conv3d_forward_ref(f, x, prologue, conv.view(), y, sums);
  }
  void backward_data(const PatchGradients<double>& patch, Channels x, Prologue<double> prologue, const ConvLayer& conv,
                     Channels y, bool accumulate, GradientSums* sums, ConvScratch&) const {
    conv3d_backward_data_ref(patch.f, patch.g, x, prologue, conv.view(), y, accumulate, sums);
  }
  void backward_weights(const std::vector<PatchGradients<double>>& patches, Channels x, Prologue<double> prologue,
                        const ConvLayer& conv, Channels y, double* dweight, double* dbias, ConvScratch&) const {
    for (const PatchGradients<double>& patch : patches)
      conv3d_backward_weights_ref(patch.f, patch.g, x, prologue, conv.size, y, dweight, dbias);
  }
};

// The prologue of the layer at hand. What it points to holds until the next call.
template <class T>
class HostPrologue {
 public:
  // affine: that of layer.norm, null where there is none.
  Prologue<T> of(const Layer& layer, const NormAffine* affine) {
    if (layer.act.kind == Activation::Kind::none) return {};
    Prologue<T> prologue = affine ? of(*affine) : identity(layer.conv.ci);
    if (layer.act.prelu) prologue.slope = of(*layer.act.prelu);
    return prologue;
  }
  Prologue<T> of(const NormAffine& affine) {
    scale_.assign(affine.scale.begin(), affine.scale.end());
    shift_.assign(affine.shift.begin(), affine.shift.end());
    return {scale_.data(), shift_.data()};
  }
  const T* of(const PReluLayer& prelu) {
    slope_.assign(prelu.slope.begin(), prelu.slope.end());
    return slope_.data();
  }

 private:
  Prologue<T> identity(int n_channels) {
    scale_.assign(static_cast<size_t>(n_channels), T{1});
    shift_.assign(static_cast<size_t>(n_channels), T{0});
    return {scale_.data(), shift_.data()};
  }
  std::vector<T> scale_, shift_, slope_;
};

}  // namespace sr
