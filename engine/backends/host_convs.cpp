#include "engine/backends/host_convs.h"

#include <fmt/core.h>

#include <algorithm>

#include "kernels/cpu_target.h"

namespace sr {

std::string CpuConvs::name() {
  return fmt::format("CPU ({})", cpu_target());
}

CpuConvs::CpuConvs(const Network& network, ConvAlgorithm algorithm, Directions directions) : algorithm_(algorithm) {
  for (const ConvLayer& conv : network.convs()) {
    forward_.emplace_back(conv.view(), algorithm);
    if (directions == Directions::forward) continue;
    const std::vector<float> transposed = transposed_weights(conv.view());
    backward_.emplace_back(ConvWeights{conv.co, conv.ci, conv.size, transposed.data()}, algorithm);
  }
}

int64_t CpuConvs::scratch_bytes(const Layout& layout) const {
  int64_t largest = 0;
  for (const PackedConv& conv : forward_) largest = std::max(largest, conv3d_scratch_bytes(layout, conv));
  return largest;
}

void CpuConvs::forward(Features<float> f, Channels x, Prologue<float> prologue, const ConvLayer& conv, Channels y,
                       ChannelSums* sums, ConvScratch& scratch) const {
  conv3d_forward_cpu(f, x, prologue, forward_[conv.id], y, sums, scratch);
}

void CpuConvs::backward_data(const PatchGradients<float>& patch, Channels x, Prologue<float> prologue,
                             const ConvLayer& conv, Channels y, bool accumulate, GradientSums* sums,
                             ConvScratch& scratch) const {
  conv3d_backward_data_cpu(patch.f, patch.g, x, prologue, backward_[conv.id], y, accumulate, sums, scratch);
}

void CpuConvs::backward_weights(const std::vector<PatchGradients<float>>& patches, Channels x, Prologue<float> prologue,
                                const ConvLayer& conv, Channels y, double* dweight, double* dbias,
                                ConvScratch& scratch) const {
  std::vector<TrainedPatch> list;
  for (const PatchGradients<float>& patch : patches) list.push_back({patch.f, patch.g});
  conv3d_backward_weights_cpu(list, x, prologue, conv.size, y, algorithm_, dweight, dbias, scratch);
}

}  // namespace sr
