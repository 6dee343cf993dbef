#include "tools/train/parameters.h"

#include <algorithm>

namespace sr::train {

std::vector<ParameterRange> parameter_ranges(const Weights& weights) {
  std::vector<ParameterRange> ranges;
  int64_t offset = 0;
  for (const TensorSpec& spec : tensor_table(weights.model)) {
    const bool running = spec.role == TensorRole::running_mean || spec.role == TensorRole::running_var;
    if (running || !weights.find(spec.name)) continue;
    const int64_t count = element_count(spec.shape);
    ranges.push_back({spec.name, offset, count});
    offset += count;
  }
  return ranges;
}

int64_t parameter_count(const std::vector<ParameterRange>& ranges) {
  return ranges.empty() ? 0 : ranges.back().offset + ranges.back().count;
}

std::vector<float> gather_parameters(const Weights& weights, const std::vector<ParameterRange>& ranges) {
  std::vector<float> row(static_cast<size_t>(parameter_count(ranges)));
  for (const ParameterRange& range : ranges) std::ranges::copy(weights.at(range.name).data, row.begin() + range.offset);
  return row;
}

void scatter_parameters(const std::vector<float>& row, const std::vector<ParameterRange>& ranges, Weights& weights) {
  for (const ParameterRange& range : ranges)
    std::copy_n(row.begin() + range.offset, range.count, weights.tensors.at(range.name).data.begin());
}

void add_running_statistics(Weights& weights) {
  for (const TensorSpec& spec : tensor_table(weights.model)) {
    if (spec.role != TensorRole::running_mean && spec.role != TensorRole::running_var) continue;
    if (weights.find(spec.name)) continue;
    const float value = spec.role == TensorRole::running_var ? 1.0f : 0.0f;
    weights.tensors[spec.name] = {spec.shape,
                                  std::vector<float>(static_cast<size_t>(element_count(spec.shape)), value)};
  }
}

}  // namespace sr::train
