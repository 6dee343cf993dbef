#include "weights/onnx_networks.h"

#include <fmt/format.h>

namespace sr {
namespace {

OnnxValue norm_elu_conv(OnnxGraph& g, const std::string& layer, const OnnxValue& x) {
  return g.conv(layer + ".conv", g.elu(g.norm(layer + ".norm", x)));
}

// docs/spec.md, section 2. Behind the lines: channels of b4u4, k = 12.
OnnxValue mdcsrn(OnnxGraph& g, const ModelDescription& m, const OnnxValue& image) {
  std::vector<OnnxValue> trunk;  // features, not blocks: each is copied once where all are read
  for (int i = 0; i < m.blocks; i++) {
    const OnnxValue x_i = i == 0 ? g.conv("stem.conv", image)                                           // 1 -> 24
                                 : g.conv(fmt::format("compressors.{}.conv", i - 1), g.concat(trunk));  // 72 i -> 24
    std::vector<OnnxValue> block{x_i};  // [x_i, d1 .. dj]
    for (int j = 0; j < m.units; j++) {
      const std::string unit = fmt::format("blocks.{}.units.{}", i, j);
      OnnxValue x = g.concat(block);
      if (m.unit_has_bottleneck(j)) x = norm_elu_conv(g, unit + ".bottleneck", x);  // 60 -> 48
      block.push_back(norm_elu_conv(g, unit, x));                                   // 24, 36, 48 -> 12
    }
    const bool leave_out_input = m.trunk == Trunk::new_features && i > 0;
    trunk.insert(trunk.end(), block.begin() + leave_out_input, block.end());
  }
  const OnnxValue all = g.concat(trunk);
  const OnnxValue y = m.reconstruction
                          ? norm_elu_conv(g, "reconstruction", g.conv("reconstruction.compress.conv", all))  // 96 -> 1
                          : g.conv("combine.conv", all);                                                     // 288 -> 1
  return m.residual ? g.add(image, y) : y;
}

}  // namespace

OnnxValue network_graph(OnnxGraph& graph, const ModelDescription& model, const OnnxValue& image) {
  if (model.architecture == "mdcsrn") return mdcsrn(graph, model, image);
  throw WeightsError(
      fmt::format("networks of the architecture {} are not exported to ONNX", shown(model.architecture)));
}

}  // namespace sr
