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

OnnxValue prelu_conv(OnnxGraph& g, const std::string& layer, const OnnxValue& x) {
  return g.conv(layer + ".conv", g.prelu(layer + ".prelu", x));
}

// The baselines: section 5.
OnnxValue fsrcnn(OnnxGraph& g, const ModelDescription& m, const OnnxValue& image) {
  OnnxValue x = prelu_conv(g, "shrink", g.conv("extract.conv", image));
  for (int i = 0; i < m.blocks; i++) x = prelu_conv(g, fmt::format("mapping.{}", i), x);
  const OnnxValue y = prelu_conv(g, "reconstruct", prelu_conv(g, "expand", x));
  return m.residual ? g.add(image, y) : y;
}

OnnxValue srresnet(OnnxGraph& g, const ModelDescription& m, const OnnxValue& image) {
  const auto conv_norm = [&g](const std::string& layer, const OnnxValue& x) {
    return g.norm(layer + ".norm", g.conv(layer + ".conv", x));
  };
  const OnnxValue first = g.prelu("head.prelu", g.conv("head.conv", image));
  OnnxValue x = first;
  for (int i = 0; i < m.blocks; i++) {
    const std::string block = fmt::format("blocks.{}", i);
    x = g.add(x, conv_norm(block + ".1", g.prelu(block + ".1.prelu", conv_norm(block + ".0", x))));
  }
  x = g.add(first, conv_norm("trunk", x));
  const OnnxValue y = prelu_conv(g, "reconstruct", prelu_conv(g, "tail.1", g.conv("tail.0.conv", x)));
  return m.residual ? g.add(image, y) : y;
}

OnnxValue srdensenet(OnnxGraph& g, const ModelDescription& m, const OnnxValue& image) {
  std::vector<OnnxValue> trunk{g.conv("stem.conv", image)};
  std::vector<OnnxValue> before = trunk;  // what the next block reads
  for (int i = 0; i < m.blocks; i++) {
    std::vector<OnnxValue> block = before;
    for (int j = 0; j < m.units; j++)
      block.push_back(g.conv(fmt::format("blocks.{}.units.{}.conv", i, j), g.elu(g.concat(block))));
    before.assign(block.end() - m.units, block.end());
    trunk.insert(trunk.end(), before.begin(), before.end());
  }
  const OnnxValue narrow = g.conv("compress.conv", g.concat(trunk));
  const OnnxValue y = g.conv("reconstruct.conv", g.elu(g.conv("tail.1.conv", g.elu(g.conv("tail.0.conv", narrow)))));
  return m.residual ? g.add(image, y) : y;
}

}  // namespace

OnnxValue network_graph(OnnxGraph& graph, const ModelDescription& model, const OnnxValue& image) {
  switch (model.architecture) {
    case Architecture::fsrcnn:
      return fsrcnn(graph, model, image);
    case Architecture::srresnet:
      return srresnet(graph, model, image);
    case Architecture::srdensenet:
      return srdensenet(graph, model, image);
    case Architecture::mdcsrn:
      break;
  }
  return mdcsrn(graph, model, image);
}

}  // namespace sr
