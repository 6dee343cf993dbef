// An ONNX graph, put together layer by layer: what weights/onnx_networks.cpp writes networks in.
#pragma once

#include <onnx/onnx_pb.h>

#include <string>
#include <vector>

#include "weights/weights_file.h"

namespace sr {

// A tensor of the graph: (1, channels, d, h, w).
struct OnnxValue {
  std::string name;
  // Voxels by which it sees beyond itself, statistics of the patch aside: half a kernel for each convolution on the
  // longest path.
  int radius = 0;
};

// Layers are named as in the weights, and so are their numbers. A layer that the weights lack throws WeightsError.
class OnnxGraph {
 public:
  // batch_norm: patch or running. The graph and the weights must outlive this object.
  OnnxGraph(const Weights& weights, BatchNorm batch_norm, onnx::GraphProto& graph);

  // (1, 1, d, h, w) of any d, h and w.
  OnnxValue input(const std::string& name);
  // y = value, of the input's shape. The value must be what the last operation returned.
  void output(const OnnxValue& value, const std::string& name);

  // layer.weight (co, ci, n, n, n) with n odd, layer.bias (co) where there is one; zeros around x, so that y has its
  // size.
  OnnxValue conv(const std::string& layer, const OnnxValue& x);
  // layer.weight and layer.bias (c), and with running statistics those.
  OnnxValue norm(const std::string& layer, const OnnxValue& x);
  OnnxValue elu(const OnnxValue& x);
  // layer.weight (c): the slope below zero.
  OnnxValue prelu(const std::string& layer, const OnnxValue& x);
  OnnxValue add(const OnnxValue& a, const OnnxValue& b);
  // Channels one behind another; a single value stays what it is.
  OnnxValue concat(const std::vector<OnnxValue>& values);

 private:
  onnx::NodeProto& node(const char* operation, const std::string& name, const std::vector<std::string>& inputs);
  std::string numbered(const char* operation) const;
  onnx::TensorProto& tensor(const std::string& name);

  const Weights& weights_;
  BatchNorm batch_norm_;
  onnx::GraphProto& graph_;
};

}  // namespace sr
