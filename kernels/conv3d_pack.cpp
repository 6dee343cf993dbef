// Weights in the order in which the CPU kernels read them; for Winograd, transformed (in double) on the way.
#include <algorithm>
#include <array>
#include <span>

#include "kernels/conv3d_impl.h"

namespace sr {
namespace {

// Lavin, Gray, "Fast Algorithms for Convolutional Neural Networks" (arXiv 1509.09308), sections 4.1 and 4.3.
constexpr std::array<std::array<double, 3>, 1> kIdentity = {};
constexpr std::array<std::array<double, 3>, 4> kG2 = {{{1, 0, 0}, {.5, .5, .5}, {.5, -.5, .5}, {0, 0, 1}}};
constexpr std::array<std::array<double, 3>, 6> kG4 = {{{1 / 4., 0, 0},
                                                       {-1 / 6., -1 / 6., -1 / 6.},
                                                       {-1 / 6., 1 / 6., -1 / 6.},
                                                       {1 / 24., 1 / 12., 1 / 6.},
                                                       {1 / 24., -1 / 12., 1 / 6.},
                                                       {0, 0, 1}}};

void pack_winograd(const float* taps, std::span<const std::array<double, 3>> g, ptrdiff_t point_stride,
                   ptrdiff_t tap_stride, float* to) {
  for (size_t pz = 0; pz < g.size(); pz++)
    for (size_t py = 0; py < g.size(); py++)
      for (int kx = 0; kx < 3; kx++) {
        double sum = 0;
        for (size_t kz = 0; kz < 3; kz++)
          for (size_t ky = 0; ky < 3; ky++) sum += g[pz][kz] * g[py][ky] * taps[(kz * 3 + ky) * 3 + kx];
        to[(pz * g.size() + py) * point_stride + kx * tap_stride] = static_cast<float>(sum);
      }
}

}  // namespace

std::span<const std::array<double, 3>> weight_transform(ConvAlgorithm algorithm) {
  if (algorithm == ConvAlgorithm::winograd4) return kG4;
  if (algorithm == ConvAlgorithm::winograd2) return kG2;
  return kIdentity;
}

ConvAlgorithm algorithm_in_effect(int size, int ci, int co, ConvAlgorithm wanted) {
  return size != 3 || ci < 4 || co < 4 ? ConvAlgorithm::direct : wanted;
}

PackedConv::PackedConv(const ConvWeights& conv, ConvAlgorithm algorithm) : impl_(std::make_unique<Impl>()) {
  Impl& p = *impl_;
  p.algorithm = algorithm_in_effect(conv.size, conv.ci, conv.co, algorithm);
  p.size = conv.size;
  p.ci = conv.ci;
  p.co = conv.co;
  p.co_padded = conv.co == 1 ? 1 : (conv.co + 3) / 4 * 4;
  const auto g = weight_transform(p.algorithm);
  const bool winograd = g.size() > 1;
  const int n_weights = conv.size * conv.size * conv.size;
  p.n_points = static_cast<int>(g.size() * g.size());
  p.n_taps = winograd ? 3 : n_weights;

  const ptrdiff_t per_channel = ptrdiff_t{p.n_points} * p.ci * p.n_taps;
  for (int first = 0; first < p.co_padded; first += kPanel)
    p.panels.push_back({first, std::min(kPanel, p.co_padded - first), first * per_channel});
  p.weight.assign(static_cast<size_t>(p.co_padded * per_channel), 0.0f);
  for (const Panel& panel : p.panels)
    for (int c = 0; c < std::min(panel.width, p.co - panel.first); c++)
      for (int ci = 0; ci < p.ci; ci++) {
        const float* taps = conv.weight + (ptrdiff_t{panel.first + c} * p.ci + ci) * n_weights;
        float* to = p.weight.data() + panel.offset + ptrdiff_t{ci} * p.n_taps * panel.width + c;
        if (winograd)
          pack_winograd(taps, g, ptrdiff_t{p.ci} * p.n_taps * panel.width, panel.width, to);
        else
          for (int t = 0; t < n_weights; t++) to[ptrdiff_t{t} * panel.width] = taps[t];
      }

  p.bias.assign(static_cast<size_t>(p.co_padded), 0.0f);
  if (conv.bias) std::copy_n(conv.bias, conv.co, p.bias.begin());
}

PackedConv::~PackedConv() = default;
PackedConv::PackedConv(PackedConv&&) noexcept = default;
PackedConv& PackedConv::operator=(PackedConv&&) noexcept = default;

}  // namespace sr
