// What architectures write themselves down in, layer by layer, for other programs to execute: weights/onnx_graph.h
// makes ONNX of it, and knows what no architecture does.
#pragma once

#include <string>
#include <vector>

namespace sr {

// A tensor of the graph: (1, channels, d, h, w).
struct GraphValue {
  std::string name;
  // Voxels by which it sees beyond itself, statistics of the patch aside: half a kernel for each convolution on the
  // longest path.
  int radius = 0;
};

// Layers are named as in the weights, and so are their numbers. A layer that the weights lack throws WeightsError.
class NetworkGraph {
 public:
  virtual ~NetworkGraph() = default;
  NetworkGraph(const NetworkGraph&) = delete;
  NetworkGraph& operator=(const NetworkGraph&) = delete;

  // layer.weight (co, ci, n, n, n) with n odd, layer.bias (co) where there is one; zeros around x, so that y has its
  // size.
  virtual GraphValue conv(const std::string& layer, const GraphValue& x) = 0;
  // layer.weight and layer.bias (c), and with running statistics those.
  virtual GraphValue norm(const std::string& layer, const GraphValue& x) = 0;
  virtual GraphValue elu(const GraphValue& x) = 0;
  // layer.weight (c): the slope below zero.
  virtual GraphValue prelu(const std::string& layer, const GraphValue& x) = 0;
  virtual GraphValue add(const GraphValue& a, const GraphValue& b) = 0;
  // Channels one behind another; a single value stays what it is.
  virtual GraphValue concat(const std::vector<GraphValue>& values) = 0;

  // layer.conv of layer.prelu of x.
  GraphValue prelu_conv(const std::string& layer, const GraphValue& x) {
    return conv(layer + ".conv", prelu(layer + ".prelu", x));
  }

 protected:
  NetworkGraph() = default;
};

}  // namespace sr
