// Networks as ONNX graphs, one function each.
#pragma once

#include "weights/onnx_graph.h"

namespace sr {

// The network that model.architecture names, from the image to the result.
OnnxValue network_graph(OnnxGraph& graph, const ModelDescription& model, const OnnxValue& image);

}  // namespace sr
