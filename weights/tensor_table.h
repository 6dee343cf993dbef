// Collects the tensors of an architecture's layers under their names, in the order of the forward pass.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "weights/schema.h"

namespace sr {

class TensorTable {
 public:
  enum class Bias { optional, required };
  // layer.weight (co, ci, kernel, kernel, kernel), layer.bias (co).
  void conv(const std::string& layer, int co, int ci, int kernel, Bias bias = Bias::optional) {
    specs_.push_back({layer + ".weight", {co, ci, kernel, kernel, kernel}, TensorRole::conv_weight, false});
    specs_.push_back({layer + ".bias", {co}, TensorRole::conv_bias, bias == Bias::optional});
  }
  // layer.{weight,bias} (c) and, optional, layer.{running_mean,running_var} (c). A norm X.norm belongs to the
  // convolution X.conv, before or behind it.
  void norm(const std::string& layer, int c) {
    specs_.push_back({layer + ".weight", {c}, TensorRole::norm_weight, false});
    specs_.push_back({layer + ".bias", {c}, TensorRole::norm_bias, false});
    specs_.push_back({layer + ".running_mean", {c}, TensorRole::running_mean, true});
    specs_.push_back({layer + ".running_var", {c}, TensorRole::running_var, true});
  }
  // layer.weight (c): the slope of each channel.
  void prelu(const std::string& layer, int c) {
    specs_.push_back({layer + ".weight", {c}, TensorRole::prelu_slope, false});
  }
  std::vector<TensorSpec> take() { return std::move(specs_); }

 private:
  std::vector<TensorSpec> specs_;
};

}  // namespace sr
