#include "weights/trunk_layout.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "weights/weights_error.h"

namespace sr {

int TrunkLayout::channels(ModelDescription model, int n_blocks) const {
  model.trunk = trunk;
  return model.trunk_channels(n_blocks) + (stem_twice ? 2 * model.growth : 0);
}

TrunkLayout find_trunk_layout(const ModelDescription& model, const std::vector<int64_t>& widths,
                              const std::string& where) {
  const TrunkLayout layouts[] = {
      {Trunk::with_inputs, false, "[O_1, O_2, ...], each O_i = [x_i, d_1, ..., d_U]"},
      {Trunk::with_inputs, true, "[x_1, O_1, O_2, ...], each O_i = [x_i, d_1, ..., d_U]: x_1 twice"},
      {Trunk::new_features, false, "[x_1, d_1, d_2, ...]: inputs of later blocks left out"},
      {Trunk::new_features, true, "[x_1, x_1, d_1, d_2, ...]: x_1 twice, inputs of later blocks left out"},
  };
  std::string known;
  for (const TrunkLayout& layout : layouts) {
    std::vector<int64_t> expected;
    for (size_t n = 1; n <= widths.size(); ++n) expected.push_back(layout.channels(model, static_cast<int>(n)));
    if (expected == widths) return layout;
    known += fmt::format("{}{}", known.empty() ? "" : "; ", fmt::join(expected, ", "));
  }
  throw WeightsError(fmt::format(
      "{}: its 1x1x1 convolutions read trunks of {} channels, which for {} blocks of {} units and k = {} is no layout "
      "that is known ({})",
      where, fmt::join(widths, ", "), model.blocks, model.units, model.growth, known));
}

std::vector<float> fold(const std::vector<float>& weight, int64_t co, const TrunkLayout& layout,
                        const ModelDescription& model) {
  if (!layout.stem_twice) return weight;
  const auto stem = static_cast<size_t>(2 * model.growth);
  const size_t from_width = weight.size() / static_cast<size_t>(co), to_width = from_width - stem;
  std::vector<float> out;
  out.reserve(static_cast<size_t>(co) * to_width);
  for (size_t o = 0; o < static_cast<size_t>(co); ++o) {
    const float* row = weight.data() + o * from_width;
    for (size_t i = 0; i < to_width; ++i) out.push_back(i < stem ? row[i] + row[stem + i] : row[stem + i]);
  }
  return out;
}

}  // namespace sr
