// A ConvProblem's numbers in device memory: quads of channels, or an image where there is one channel.
#pragma once

#include "tests/support/conv_layouts.h"
#include "tests/support/on_device.h"

namespace sr {

inline cuda::Operand operand(const QuadMaps& layout, void* maps, Channels channels, float* image) {
  if (channels.count == 0) return {{}, {0, 1}, image};
  return {{maps, layout.size, layout.n_patches, layout.n_channels * layout.size.voxels()}, channels};
}

// Batch-norm and activation on the way in.
struct DeviceNorm {
  explicit DeviceNorm(const ConvProblem& problem) : p(problem), scale(p.scale), shift(p.shift), slope(p.slope) {}
  cuda::DevicePrologue prologue() const {
    if (!p.c.prologue) return {};
    return {scale.data(), shift.data(), p.norm_per_patch ? p.c.ci : 0, p.c.prelu ? slope.data() : nullptr};
  }
  const ConvProblem& p;
  const OnDevice<float> scale, shift, slope;
};

// Weights as the device's kernels read them.
inline std::vector<char> packed_for_device(const ConvWeights& weights, cuda::Precision precision) {
  std::vector<char> packed(static_cast<size_t>(api().conv3d_packed_bytes(weights, precision)));
  api().conv3d_pack(weights, precision, packed.data());
  return packed;
}

// n numbers that nobody has written yet.
template <class T>
std::vector<T> unwritten(int64_t n) {
  if constexpr (std::is_same_v<T, ChannelSums>)
    return std::vector<T>(static_cast<size_t>(n), {kNaN, kNaN});
  else
    return std::vector<T>(static_cast<size_t>(n), kNaN);
}

}  // namespace sr
