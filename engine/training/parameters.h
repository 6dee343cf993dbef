// The trained numbers of a network in one row: what Adam steps over, what ranks add up, what a checkpoint keeps.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "weights/weights_file.h"

namespace sr::train {

// One tensor's place in the row. Example b4u4: {"stem.conv.weight", 0, 648}, {"blocks.0.units.0.norm.weight", 648, 24}.
struct ParameterRange {
  std::string name;
  int64_t offset, count;
};

// Convolutions' weights and biases, norms' gamma and beta, PReLUs' slopes, in the order of the weights file's table;
// running statistics are not trained.
std::vector<ParameterRange> parameter_ranges(const Weights& weights);
int64_t parameter_count(const std::vector<ParameterRange>& ranges);

std::vector<float> gather_parameters(const Weights& weights, const std::vector<ParameterRange>& ranges);
void scatter_parameters(const std::vector<float>& row, const std::vector<ParameterRange>& ranges, Weights& weights);

// The row by layers, in the order in which a network numbers its own (engine/networks/network.h).
struct LayerParameters {
  struct Conv {
    ParameterRange weight;
    std::optional<ParameterRange> bias;
  };
  struct Norm {
    ParameterRange gamma, beta;
    std::string running_mean, running_var;  // names of tensors
  };
  std::vector<Conv> convs;             // by id
  std::vector<Norm> norms;             // by id
  std::vector<ParameterRange> prelus;  // by id
};
LayerParameters layer_parameters(const std::vector<ParameterRange>& ranges);

// Running mean 0 and variance 1 for every norm that has none.
void add_running_statistics(Weights& weights);

}  // namespace sr::train
