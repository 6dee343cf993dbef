// SRDenseNet in three dimensions, without its up-sampling (docs/spec.md, section 5). B blocks of U units, growth k:
//
//   stem.conv               (2k, 1, 3, 3, 3)
//   blocks.I.units.J.conv   (k, c, 3, 3, 3)   c = (2 + J) k in the first block, (U + J) k in the others
//   compress.conv           (8k, 2k + B U k, 1, 1, 1)
//   tail.0.conv, tail.1.conv  (8k, 8k, 3, 3, 3)
//   reconstruct.conv        (1, 8k, 3, 3, 3)
//
// In a weights file:
//
//   {"architecture": "srdensenet", "blocks": 8, "units": 4, "growth": 12, "residual": true, "input": "sinc",
//    "activation": "elu"}
#include <fmt/format.h>

#include <algorithm>

#include "weights/architecture.h"
#include "weights/foreign_layers.h"
#include "weights/network_graph.h"
#include "weights/own_tensors.h"
#include "weights/tensor_table.h"

namespace sr {
namespace {

class SrDenseNet final : public Architecture {
 public:
  std::string name() const override { return "srdensenet"; }
  std::vector<SizeSetting> sizes() const override {
    using M = ModelDescription;
    return {{&M::blocks, 8, limits::blocks, "blocks", "blocks", "number of blocks"},
            {&M::units, 4, limits::units, "units", "units", "number of units"},
            {&M::growth, 12, limits::growth, "growth", "k", "growth k"}};
  }
  std::string activation() const override { return "elu"; }
  bool has_norms() const override { return false; }
  std::string text(const ModelDescription& m) const override {
    return fmt::format("SRDenseNet: {} blocks of {} units, growth rate {}", m.blocks, m.units, m.growth);
  }

  void add_tensors(const ModelDescription& m, TensorTable& table) const override {
    const int k = m.growth, block = m.units * k;
    table.conv("stem.conv", 2 * k, 1, 3);
    for (int i = 0; i < m.blocks; ++i)
      for (int j = 0; j < m.units; ++j)
        table.conv(fmt::format("blocks.{}.units.{}.conv", i, j), k, (i == 0 ? 2 * k : block) + j * k, 3);
    table.conv("compress.conv", 8 * k, 2 * k + m.blocks * block, 1);
    table.conv("tail.0.conv", 8 * k, 8 * k, 3);
    table.conv("tail.1.conv", 8 * k, 8 * k, 3);
    table.conv("reconstruct.conv", 1, 8 * k, 3);
  }
  int64_t least_convs(const ModelDescription& m) const override { return int64_t{m.blocks} * m.units; }

  GraphValue graph(NetworkGraph& g, const ModelDescription& m, const GraphValue& image) const override {
    std::vector<GraphValue> trunk{g.conv("stem.conv", image)};
    std::vector<GraphValue> before = trunk;  // what the next block reads
    for (int i = 0; i < m.blocks; i++) {
      std::vector<GraphValue> block = before;
      for (int j = 0; j < m.units; j++)
        block.push_back(g.conv(fmt::format("blocks.{}.units.{}.conv", i, j), g.elu(g.concat(block))));
      before.assign(block.end() - m.units, block.end());
      trunk.insert(trunk.end(), before.begin(), before.end());
    }
    const GraphValue narrow = g.conv("compress.conv", g.concat(trunk));
    return g.conv("reconstruct.conv", g.elu(g.conv("tail.1.conv", g.elu(g.conv("tail.0.conv", narrow)))));
  }

  // mDCSRN's names begin alike; it has no tail.
  Marks marks() const override { return {"stem.conv.weight", "tail.0.conv.weight"}; }
  ModelDescription model_by_names(const OwnTensors& tensors, const std::string& where) const override {
    return sized({tensors.count("blocks.", limits::blocks), tensors.count(".units.", limits::units),
                  tensors.outputs("stem.conv.weight") / 2},
                 where);
  }

  // mDCSRN begins alike; it has norms, and nothing as wide as the tail at both ends.
  bool recognises(const ForeignLayers& layers) const override {
    const auto stem = layers.first_convs(3);
    if (stem.size() != 1 || !layers.norms.empty()) return false;
    const int64_t tail = 4 * stem[0]->co;
    return !layers.convs_where([tail](const ForeignConv& c) { return c.kernel == 3 && c.ci == tail && c.co == tail; })
                .empty();
  }
  // The widest input of a unit is (1 + U) k with one block, (2 U - 1) k with more.
  ForeignModel model_by_shapes(const ForeignLayers& layers, const std::string& where) const override {
    const int64_t k = layers.first_convs(3)[0]->co / 2;
    auto units = layers.convs_where([k](const ForeignConv& c) { return c.kernel == 3 && c.ci != 1 && c.co == k; });
    if (k == 1 && !units.empty()) units.pop_back();  // 8 -> 1 is the last layer
    const int64_t n = std::ssize(units);
    int64_t widest = 0;
    for (const ForeignConv* unit : units) widest = std::max(widest, unit->ci);
    const bool one_block = widest == (1 + n) * k;
    const int64_t n_units = one_block ? n : k > 0 ? (widest / k + 1) / 2 : 0;
    const int64_t n_blocks = n_units > 0 && n % n_units == 0 ? n / n_units : 0;
    return {sized({n_blocks, n_units, k}, where), {}, {}};
  }
};

}  // namespace

const Architecture& architectures::srdensenet() {
  static const SrDenseNet architecture;
  return architecture;
}

}  // namespace sr
