// Executes an ONNX model as ONNX's specification says, by plain loops in double: the operations of exported networks.
#pragma once

#include <onnx/onnx_pb.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/features.h"

namespace sr {

inline std::vector<float> numbers_of(const onnx::TensorProto& tensor) {
  std::vector<float> numbers(tensor.raw_data().size() / sizeof(float));
  std::memcpy(numbers.data(), tensor.raw_data().data(), tensor.raw_data().size());
  return numbers;
}

inline std::vector<int64_t> shape_of(const onnx::TensorProto& tensor) {
  return {tensor.dims().begin(), tensor.dims().end()};
}

class OnnxEvaluator {
 public:
  explicit OnnxEvaluator(const onnx::GraphProto& graph) : graph_(graph) {
    for (const onnx::TensorProto& tensor : graph.initializer())
      constants_[tensor.name()] = {shape_of(tensor), numbers_of(tensor)};
  }

  // x (1, 1, d, h, w) -> y, of the same size.
  std::vector<double> operator()(const std::vector<double>& x, Size3 size) {
    size_ = size;
    values_ = {{graph_.input(0).name(), {x}}};
    for (const onnx::NodeProto& node : graph_.node()) values_[node.output(0)] = execute(node);
    const Value& y = values_.at(graph_.output(0).name());
    if (y.size() != 1) throw std::runtime_error("the output has more than one channel");
    return y[0];
  }

 private:
  using Value = std::vector<std::vector<double>>;  // [channel][voxel]
  struct Constant {
    std::vector<int64_t> shape;
    std::vector<float> data;
  };

  Value execute(const onnx::NodeProto& node) {
    const std::string& type = node.op_type();
    Value y = values_.at(node.input(0));
    if (type == "Conv") return conv(node, y);
    if (type == "Concat") {
      for (int i = 1; i < node.input_size(); i++)
        for (const auto& channel : values_.at(node.input(i))) y.push_back(channel);
      if (attribute(node, "axis").i() != 1) throw std::runtime_error("concatenation is not along channels");
    } else if (type == "Add") {
      each(y, [&, b = values_.at(node.input(1))](size_t c, size_t i, double v) { return v + b.at(c).at(i); });
    } else if (type == "Elu") {
      each(y, [](size_t, size_t, double v) { return v > 0 ? v : std::expm1(v); });
    } else if (type == "PRelu") {
      const Constant& slope = constants_.at(node.input(1));
      if (slope.shape.size() != 4) throw std::runtime_error("the slope is not broadcast over the volume");
      each(y, [&](size_t c, size_t, double v) { return v > 0 ? v : slope.data.at(c) * v; });
    } else {
      norm(node, y);
    }
    return y;
  }

  Value conv(const onnx::NodeProto& node, const Value& x) const {
    const Constant& weight = constants_.at(node.input(1));
    const auto co = static_cast<size_t>(weight.shape.at(0)), ci = static_cast<size_t>(weight.shape.at(1));
    if (ci != x.size()) throw std::runtime_error(node.name() + " has other input channels than its weights");
    const int n = static_cast<int>(attribute(node, "kernel_shape").ints(0)), pad = n / 2;
    for (const int64_t p : attribute(node, "pads").ints())
      if (p != pad) throw std::runtime_error(node.name() + " changes the size");
    Value y(co, std::vector<double>(x[0].size()));
    const float* w = weight.data.data();
    for (size_t o = 0; o < co; o++) {
      if (node.input_size() == 3) std::fill(y[o].begin(), y[o].end(), double{constants_.at(node.input(2)).data.at(o)});
      for (size_t i = 0; i < ci; i++)
        for (int z = -pad; z <= pad; z++)
          for (int yy = -pad; yy <= pad; yy++)
            for (int xx = -pad; xx <= pad; xx++) add_shifted(x[i], z, yy, xx, double{*w++}, y[o]);
    }
    return y;
  }

  // y(v) += weight x(v + (dz, dy, dx)), x being zero beyond the volume.
  void add_shifted(const std::vector<double>& x, int dz, int dy, int dx, double weight, std::vector<double>& y) const {
    for (int z = std::max(0, -dz); z < std::min(size_.d, size_.d - dz); z++)
      for (int r = std::max(0, -dy); r < std::min(size_.h, size_.h - dy); r++) {
        const int to = (z * size_.h + r) * size_.w, from = to + (dz * size_.h + dy) * size_.w + dx;
        for (int i = std::max(0, -dx); i < std::min(size_.w, size_.w - dx); i++) y[to + i] += weight * x[from + i];
      }
  }

  void norm(const onnx::NodeProto& node, Value& y) const {
    const bool frozen = node.op_type() == "BatchNormalization";
    if (!frozen && node.op_type() != "InstanceNormalization") throw std::runtime_error("unexpected " + node.op_type());
    const auto constant = [&](int i, size_t c) { return double{constants_.at(node.input(i)).data.at(c)}; };
    for (size_t c = 0; c < y.size(); c++) {
      double mean = 0, var = 0;
      for (const double v : y[c]) mean += v / static_cast<double>(y[c].size());
      for (const double v : y[c]) var += (v - mean) * (v - mean) / static_cast<double>(y[c].size());
      if (frozen) mean = constant(3, c), var = constant(4, c);
      const double scale = constant(1, c) / std::sqrt(var + double{attribute(node, "epsilon").f()});
      for (double& v : y[c]) v = (v - mean) * scale + constant(2, c);
    }
  }

  template <class F>
  static void each(Value& y, F f) {
    for (size_t c = 0; c < y.size(); c++)
      for (size_t i = 0; i < y[c].size(); i++) y[c][i] = f(c, i, y[c][i]);
  }

  static const onnx::AttributeProto& attribute(const onnx::NodeProto& node, const std::string& name) {
    for (const onnx::AttributeProto& attribute : node.attribute())
      if (attribute.name() == name) return attribute;
    throw std::runtime_error(node.name() + " has no " + name);
  }

  const onnx::GraphProto& graph_;
  std::map<std::string, Constant> constants_;
  std::map<std::string, Value> values_;
  Size3 size_{};
};

}  // namespace sr
