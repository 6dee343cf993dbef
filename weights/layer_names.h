// Layers of a foreign network, told by the names of their tensors: "block0.denselayer1.norm.running_var" is the
// variance of "block0.denselayer1.norm"; "batch_normalization_3/gamma:0" is the weight of "batch_normalization_3".
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "weights/checkpoint.h"

namespace sr {

enum class Part { weight, bias, mean, variance };

struct LayerPart {
  std::string layer;
  Part part;
};

// Nothing where the name does not end in one of the words in use (weight, kernel, gamma, bias, beta, running_mean,
// ...).
std::optional<LayerPart> split_name(const std::string& tensor_name);

// Compares numbers in names by value: "conv3d_2" < "conv3d_10".
bool natural_less(const std::string& a, const std::string& b);

// How much two layers' names say that they belong together: shared path first ("block0.unit2.norm",
// "block0.unit2.conv"), then a shared ending in letters ("norm_b", "conv_b"; numbers at the end are often counted
// through and mean nothing).
std::pair<int, int> name_affinity(const std::string& a, const std::string& b);

// A layer by its name and its place in the checkpoint.
struct NamedLayer {
  std::string name;
  size_t position;
};

// The order that the names give where they differ by numbers only; else, where the checkpoint keeps the order of
// registration, that; else nothing.
std::optional<std::vector<const NamedLayer*>> in_order(std::vector<const NamedLayer*> layers, bool keeps_order);

}  // namespace sr
