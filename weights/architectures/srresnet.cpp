// SRResNet in three dimensions, without its up-sampling (docs/spec.md, section 5). f features, B residual blocks:
//
//   head.conv, head.prelu               (f, 1, 9, 9, 9), bias required; (f)
//   blocks.I.0.conv, blocks.I.0.norm    (f, f, 3, 3, 3); (f)   I = 0 .. B-1
//   blocks.I.1.prelu, .conv, .norm      (f); (f, f, 3, 3, 3); (f)
//   trunk.conv, trunk.norm              (f, f, 3, 3, 3); (f)
//   tail.0.conv, tail.1.prelu, .conv    (f, f, 3, 3, 3); (f); (f, f, 3, 3, 3)
//   reconstruct.prelu, .conv            (f); (1, f, 9, 9, 9), bias required
//
// Norms stand behind their convolutions. In a weights file:
//
//   {"architecture": "srresnet", "blocks": 16, "features": 64, "residual": true, "input": "sinc", "norm_eps": 1e-5,
//    "batch_norm": "patch", "activation": "prelu"}
#include <fmt/format.h>

#include "weights/architecture.h"
#include "weights/foreign_layers.h"
#include "weights/network_graph.h"
#include "weights/own_tensors.h"
#include "weights/tensor_table.h"

namespace sr {
namespace {

class SrResNet final : public Architecture {
 public:
  std::string name() const override { return "srresnet"; }
  std::vector<SizeSetting> sizes() const override {
    using M = ModelDescription;
    return {{&M::blocks, 16, limits::blocks, "blocks", "blocks", "number of blocks"},
            {&M::features, 64, limits::features, "features", "features", "number of features"}};
  }
  std::string activation() const override { return "prelu"; }
  bool has_norms() const override { return true; }
  std::string text(const ModelDescription& m) const override {
    return fmt::format("SRResNet: {} residual blocks of {} features", m.blocks, m.features);
  }

  void add_tensors(const ModelDescription& m, TensorTable& table) const override {
    const int f = m.features;
    table.conv("head.conv", f, 1, 9, TensorTable::Bias::required);
    table.prelu("head.prelu", f);
    for (int i = 0; i < m.blocks; ++i) {
      const std::string block = fmt::format("blocks.{}", i);
      table.conv(block + ".0.conv", f, f, 3);
      table.norm(block + ".0.norm", f);
      table.prelu(block + ".1.prelu", f);
      table.conv(block + ".1.conv", f, f, 3);
      table.norm(block + ".1.norm", f);
    }
    table.conv("trunk.conv", f, f, 3);
    table.norm("trunk.norm", f);
    table.conv("tail.0.conv", f, f, 3);
    table.prelu("tail.1.prelu", f);
    table.conv("tail.1.conv", f, f, 3);
    table.prelu("reconstruct.prelu", f);
    table.conv("reconstruct.conv", 1, f, 9, TensorTable::Bias::required);
  }
  int64_t least_convs(const ModelDescription& m) const override { return m.blocks; }

  GraphValue graph(NetworkGraph& g, const ModelDescription& m, const GraphValue& image) const override {
    const auto conv_norm = [&g](const std::string& layer, const GraphValue& x) {
      return g.norm(layer + ".norm", g.conv(layer + ".conv", x));
    };
    const GraphValue first = g.prelu("head.prelu", g.conv("head.conv", image));
    GraphValue x = first;
    for (int i = 0; i < m.blocks; i++) {
      const std::string block = fmt::format("blocks.{}", i);
      x = g.add(x, conv_norm(block + ".1", g.prelu(block + ".1.prelu", conv_norm(block + ".0", x))));
    }
    x = g.add(first, conv_norm("trunk", x));
    return g.prelu_conv("reconstruct", g.prelu_conv("tail.1", g.conv("tail.0.conv", x)));
  }

  Marks marks() const override { return {"head.conv.weight", "blocks.0.0.conv.weight"}; }
  ModelDescription model_by_names(const OwnTensors& tensors, const std::string& where) const override {
    return sized({tensors.count("blocks.", limits::blocks), tensors.outputs("head.conv.weight")}, where);
  }

  bool recognises(const ForeignLayers& layers) const override { return layers.first_convs(9).size() == 1; }
  // Two 3x3x3 convolutions a block, and three behind them.
  ForeignModel model_by_shapes(const ForeignLayers& layers, const std::string& where) const override {
    const int64_t f = layers.first_convs(9)[0]->co;
    const int64_t n = std::ssize(layers.convs_where([](const ForeignConv& c) { return c.kernel == 3; }));
    return {sized({n % 2 ? (n - 3) / 2 : 0, f}, where), {}, {}};
  }
};

}  // namespace

const Architecture& architectures::srresnet() {
  static const SrResNet architecture;
  return architecture;
}

}  // namespace sr
