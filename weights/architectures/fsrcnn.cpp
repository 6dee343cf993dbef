// FSRCNN in three dimensions (docs/spec.md, section 5). d features, s shrunk ones, m mapping layers:
//
//   extract.conv            (d, 1, 5, 5, 5)   bias required, as of all its convolutions
//   shrink.prelu, .conv     (d); (s, d, 1, 1, 1)
//   mapping.I.prelu, .conv  (s); (s, s, 3, 3, 3)   I = 0 .. m-1
//   expand.prelu, .conv     (s); (d, s, 1, 1, 1)
//   reconstruct.prelu, .conv  (d); (1, d, 9, 9, 9)
//
// X.prelu is the PReLU on the way into X.conv. In a weights file:
//
//   {"architecture": "fsrcnn", "features": 56, "shrink": 12, "mapping_layers": 4, "residual": true, "input": "sinc",
//    "activation": "prelu"}
#include <fmt/format.h>

#include "weights/architecture.h"
#include "weights/foreign_layers.h"
#include "weights/network_graph.h"
#include "weights/own_tensors.h"
#include "weights/tensor_table.h"

namespace sr {
namespace {

class Fsrcnn final : public Architecture {
 public:
  std::string name() const override { return "fsrcnn"; }
  std::vector<SizeSetting> sizes() const override {
    using M = ModelDescription;
    return {{&M::features, 56, limits::features, "features", "d", "number of features"},
            {&M::shrink, 12, limits::features, "shrink", "s", "number of shrunk features s"},
            {&M::blocks, 4, limits::blocks, "mapping_layers", "m", "number of mapping layers m"}};
  }
  std::string activation() const override { return "prelu"; }
  bool has_norms() const override { return false; }
  std::string text(const ModelDescription& m) const override {
    return fmt::format("FSRCNN: {} features, shrunk to {}, {} mapping layers", m.features, m.shrink, m.blocks);
  }

  void add_tensors(const ModelDescription& m, TensorTable& table) const override {
    const int d = m.features, s = m.shrink;
    const auto prelu_conv = [&](const std::string& layer, int co, int ci, int kernel) {
      table.prelu(layer + ".prelu", ci);
      table.conv(layer + ".conv", co, ci, kernel, TensorTable::Bias::required);
    };
    table.conv("extract.conv", d, 1, 5, TensorTable::Bias::required);
    prelu_conv("shrink", s, d, 1);
    for (int i = 0; i < m.blocks; ++i) prelu_conv(fmt::format("mapping.{}", i), s, s, 3);
    prelu_conv("expand", d, s, 1);
    prelu_conv("reconstruct", 1, d, 9);
  }
  int64_t least_convs(const ModelDescription& m) const override { return m.blocks; }

  GraphValue graph(NetworkGraph& g, const ModelDescription& m, const GraphValue& image) const override {
    GraphValue x = g.prelu_conv("shrink", g.conv("extract.conv", image));
    for (int i = 0; i < m.blocks; i++) x = g.prelu_conv(fmt::format("mapping.{}", i), x);
    return g.prelu_conv("reconstruct", g.prelu_conv("expand", x));
  }

  Marks marks() const override { return {"extract.conv.weight", "shrink.conv.weight"}; }
  ModelDescription model_by_names(const OwnTensors& tensors, const std::string& where) const override {
    return sized({tensors.outputs("extract.conv.weight"), tensors.outputs("shrink.conv.weight"),
                  tensors.count("mapping.", limits::blocks)},
                 where);
  }

  bool recognises(const ForeignLayers& layers) const override { return layers.first_convs(5).size() == 1; }
  ForeignModel model_by_shapes(const ForeignLayers& layers, const std::string& where) const override {
    const int64_t d = layers.first_convs(5)[0]->co;
    const auto shrink = layers.convs_where([d](const ForeignConv& c) { return c.kernel == 1 && c.ci == d; });
    const auto mapping = layers.convs_where([](const ForeignConv& c) { return c.kernel == 3; });
    return {sized({d, shrink.empty() ? 0 : shrink[0]->co, std::ssize(mapping)}, where), {}, {}};
  }
};

}  // namespace

const Architecture& architectures::fsrcnn() {
  static const Fsrcnn architecture;
  return architecture;
}

}  // namespace sr
