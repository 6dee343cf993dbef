// The architecture of a network from its tensors' shapes, order and names, and which tensor is which.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "weights/checkpoint.h"
#include "weights/weights_file.h"

namespace sr {

struct Match {
  std::string from, shape, to;  // "comp0.weight", "32x128x1x1x1", "compressors.0.conv.weight"
  bool folded = false;          // weights of a feature that stands in the trunk twice were added up
};

struct Inference {
  ModelDescription model;  // what shapes can say; residual, input, eps and normalization are not among it
  std::map<std::string, Tensor> tensors;
  std::vector<Match> matches;      // in the order of the forward pass
  std::vector<std::string> notes;  // what was read into the shapes, folded or left out
  bool channels_last = false;      // TensorFlow's layout
};

// Throws WeightsError, starting with `where`, where tensors are left over, missing or cannot be told apart; it lists
// them.
Inference infer_network(const TensorGroup& group, bool keeps_order, const std::string& where);

}  // namespace sr
