#include "engine/training/parameters.h"

#include <algorithm>

namespace sr::train {

std::vector<ParameterRange> parameter_ranges(const Weights& weights) {
  std::vector<ParameterRange> ranges;
  int64_t offset = 0;
  for (const TensorSpec& spec : tensor_table(weights.model)) {
    if (!is_parameter(spec.role) || !weights.find(spec.name)) continue;
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

LayerParameters layer_parameters(const std::vector<ParameterRange>& ranges) {
  LayerParameters layers;
  for (const ParameterRange& range : ranges) {
    if (range.name.ends_with(".norm.weight")) {
      const std::string norm = range.name.substr(0, range.name.size() - std::string("weight").size());
      layers.norms.push_back({range, range, norm + "running_mean", norm + "running_var"});  // beta comes next
    } else if (range.name.ends_with(".norm.bias")) {
      layers.norms.back().beta = range;
    } else if (range.name.ends_with(".prelu.weight")) {
      layers.prelus.push_back(range);
    } else if (range.name.ends_with(".conv.bias")) {
      layers.convs.back().bias = range;
    } else {
      layers.convs.push_back({range, {}});
    }
  }
  return layers;
}

void add_running_statistics(Weights& weights) {
  for (const TensorSpec& spec : tensor_table(weights.model)) {
    if (is_parameter(spec.role) || weights.find(spec.name)) continue;
    const float value = spec.role == TensorRole::running_var ? 1.0f : 0.0f;
    weights.tensors[spec.name] = {spec.shape,
                                  std::vector<float>(static_cast<size_t>(element_count(spec.shape)), value)};
  }
}

}  // namespace sr::train
