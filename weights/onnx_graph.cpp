#include "weights/onnx_graph.h"

#include <fmt/format.h>

#include <algorithm>

namespace sr {
namespace {

onnx::AttributeProto& attribute(onnx::NodeProto& node, const char* name, onnx::AttributeProto::AttributeType type) {
  onnx::AttributeProto& attribute = *node.add_attribute();
  attribute.set_name(name);
  attribute.set_type(type);
  return attribute;
}

void set(onnx::NodeProto& node, const char* name, const std::vector<int64_t>& values) {
  onnx::AttributeProto& list = attribute(node, name, onnx::AttributeProto::INTS);
  for (const int64_t value : values) list.add_ints(value);
}

void describe_volume(onnx::ValueInfoProto& info, const std::string& name) {
  info.set_name(name);
  onnx::TypeProto::Tensor& type = *info.mutable_type()->mutable_tensor_type();
  type.set_elem_type(onnx::TensorProto::FLOAT);
  for (int i = 0; i < 2; i++) type.mutable_shape()->add_dim()->set_dim_value(1);
  for (const char* free : {"d", "h", "w"}) type.mutable_shape()->add_dim()->set_dim_param(free);
}

}  // namespace

OnnxGraph::OnnxGraph(const Weights& weights, BatchNorm batch_norm, onnx::GraphProto& graph)
    : weights_(weights), batch_norm_(batch_norm), graph_(graph) {}

onnx::NodeProto& OnnxGraph::node(const char* operation, const std::string& name,
                                 const std::vector<std::string>& inputs) {
  onnx::NodeProto& node = *graph_.add_node();
  node.set_op_type(operation);
  node.set_name(name);
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(name);
  return node;
}

// Names of operations without numbers of their own: "elu.12".
std::string OnnxGraph::numbered(const char* operation) const {
  return fmt::format("{}.{}", operation, graph_.node_size());
}

// The weights' tensor, now one of the graph's.
onnx::TensorProto& OnnxGraph::tensor(const std::string& name) {
  const Tensor* tensor = weights_.find(name);
  if (!tensor) throw WeightsError(fmt::format("the weights hold no {}", name));
  onnx::TensorProto& proto = *graph_.add_initializer();
  proto.set_name(name);
  proto.set_data_type(onnx::TensorProto::FLOAT);
  for (const int64_t extent : tensor->shape) proto.add_dims(extent);
  proto.set_raw_data(tensor->data.data(), tensor->data.size() * sizeof(float));  // little-endian, as ONNX has it
  return proto;
}

GraphValue OnnxGraph::input(const std::string& name) {
  describe_volume(*graph_.add_input(), name);
  return {name};
}

void OnnxGraph::output(const GraphValue& value, const std::string& name) {
  describe_volume(*graph_.add_output(), name);
  onnx::NodeProto& last = *graph_.mutable_node(graph_.node_size() - 1);
  if (last.output(0) != value.name) throw std::logic_error(value.name + " is not the last operation's result");
  last.set_output(0, name);
}

GraphValue OnnxGraph::conv(const std::string& layer, const GraphValue& x) {
  std::vector<std::string> inputs{x.name, tensor(layer + ".weight").name()};
  if (weights_.find(layer + ".bias")) inputs.push_back(tensor(layer + ".bias").name());
  const int64_t size = weights_.at(layer + ".weight").shape.back(), around = size / 2;
  onnx::NodeProto& conv = node("Conv", layer, inputs);
  set(conv, "kernel_shape", std::vector<int64_t>(3, size));
  set(conv, "pads", std::vector<int64_t>(6, around));
  return {layer, x.radius + static_cast<int>(around)};
}

GraphValue OnnxGraph::norm(const std::string& layer, const GraphValue& x) {
  std::vector<std::string> inputs{x.name, tensor(layer + ".weight").name(), tensor(layer + ".bias").name()};
  const bool running = batch_norm_ == BatchNorm::running;
  if (running)
    for (const char* statistic : {".running_mean", ".running_var"}) inputs.push_back(tensor(layer + statistic).name());
  // The statistics of an instance are those of a batch that holds nothing else. ONNX's BatchNormalization has them in
  // training mode only, which few runtimes execute.
  onnx::NodeProto& norm = node(running ? "BatchNormalization" : "InstanceNormalization", layer, inputs);
  attribute(norm, "epsilon", onnx::AttributeProto::FLOAT).set_f(static_cast<float>(weights_.model.norm_eps));
  return {layer, x.radius};
}

GraphValue OnnxGraph::elu(const GraphValue& x) {
  return {node("Elu", numbered("elu"), {x.name}).name(), x.radius};
}

GraphValue OnnxGraph::prelu(const std::string& layer, const GraphValue& x) {
  onnx::TensorProto& slope = tensor(layer + ".weight");
  for (int axis = 0; axis < 3; axis++) slope.add_dims(1);  // (c, 1, 1, 1): ONNX broadcasts from the last axis on
  node("PRelu", layer, {x.name, slope.name()});
  return {layer, x.radius};
}

GraphValue OnnxGraph::add(const GraphValue& a, const GraphValue& b) {
  return {node("Add", numbered("add"), {a.name, b.name}).name(), std::max(a.radius, b.radius)};
}

GraphValue OnnxGraph::concat(const std::vector<GraphValue>& values) {
  if (values.size() == 1) return values.front();
  std::vector<std::string> inputs;
  int radius = 0;
  for (const GraphValue& value : values) {
    inputs.push_back(value.name);
    radius = std::max(radius, value.radius);
  }
  onnx::NodeProto& concat = node("Concat", numbered("concat"), inputs);
  attribute(concat, "axis", onnx::AttributeProto::INT).set_i(1);
  return {concat.name(), radius};
}

}  // namespace sr
