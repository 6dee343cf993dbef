// An ONNX graph, put together by a network's architecture layer by layer.
#pragma once

#include <onnx/onnx_pb.h>

#include <string>
#include <vector>

#include "weights/network_graph.h"
#include "weights/weights_file.h"

namespace sr {

class OnnxGraph final : public NetworkGraph {
 public:
  // batch_norm: patch or running. The graph and the weights must outlive this object.
  OnnxGraph(const Weights& weights, BatchNorm batch_norm, onnx::GraphProto& graph);

  // (1, 1, d, h, w) of any d, h and w.
  GraphValue input(const std::string& name);
  // y = value, of the input's shape. The value must be what the last operation returned.
  void output(const GraphValue& value, const std::string& name);

  GraphValue conv(const std::string& layer, const GraphValue& x) override;
  GraphValue norm(const std::string& layer, const GraphValue& x) override;
  GraphValue elu(const GraphValue& x) override;
  GraphValue prelu(const std::string& layer, const GraphValue& x) override;
  GraphValue add(const GraphValue& a, const GraphValue& b) override;
  GraphValue concat(const std::vector<GraphValue>& values) override;

 private:
  onnx::NodeProto& node(const char* operation, const std::string& name, const std::vector<std::string>& inputs);
  std::string numbered(const char* operation) const;
  onnx::TensorProto& tensor(const std::string& name);

  const Weights& weights_;
  BatchNorm batch_norm_;
  onnx::GraphProto& graph_;
};

}  // namespace sr
