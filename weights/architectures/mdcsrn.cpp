// mDCSRN (docs/spec.md, section 2). B blocks of U units, growth k; T(n) is the number of channels of the trunk after n
// blocks:
//
//   stem.conv.weight                                  (2k, 1, 3, 3, 3)
//   blocks.I.units.J.norm.{weight,bias}               (c)            c = (2 + J) k, or 4k behind a bottleneck
//   blocks.I.units.J.conv.weight                      (k, c, 3, 3, 3)
//   blocks.I.units.J.bottleneck.norm.{weight,bias}    ((2 + J) k)    where the unit has a bottleneck
//   blocks.I.units.J.bottleneck.conv.weight           (4k, (2 + J) k, 1, 1, 1)
//   compressors.I.conv.weight                         (2k, T(I + 1), 1, 1, 1)   I = 0 .. B-2: the one before block I+1
//   combine.conv.weight                               (1, T(B), 1, 1, 1)        without "-r"
//   reconstruction.compress.conv.weight               (8k, T(B), 1, 1, 1)       with "-r"
//   reconstruction.norm.{weight,bias}                 (8k)
//   reconstruction.conv.weight                        (1, 8k, 3, 3, 3)
//
// In a weights file:
//
//   {"architecture": "mdcsrn", "blocks": 4, "units": 4, "growth": 12, "bottleneck": "auto", "trunk": "with-inputs",
//    "reconstruction": false, "residual": true, "input": "linear", "norm_eps": 1e-5, "batch_norm": "patch",
//    "activation": "elu"}
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "weights/architecture.h"
#include "weights/foreign_layers.h"
#include "weights/json_fields.h"
#include "weights/network_graph.h"
#include "weights/own_tensors.h"
#include "weights/tensor_table.h"
#include "weights/words.h"

namespace sr {
namespace {

constexpr Word<Bottleneck> kBottleneckWords[] = {
    {Bottleneck::automatic, "auto"}, {Bottleneck::never, "never"}, {Bottleneck::always, "always"}};
constexpr Word<Trunk> kTrunkWords[] = {{Trunk::with_inputs, "with-inputs"}, {Trunk::new_features, "new-features"}};

class Mdcsrn final : public Architecture {
 public:
  std::string name() const override { return "mdcsrn"; }
  std::vector<SizeSetting> sizes() const override {
    using M = ModelDescription;
    return {{&M::blocks, 4, limits::blocks, "blocks", "", "number of blocks"},
            {&M::units, 4, limits::units, "units", "", "number of units"},
            {&M::growth, 12, limits::growth, "growth", "k", "growth k"}};
  }
  std::string activation() const override { return "elu"; }
  bool has_norms() const override { return true; }
  std::string text(const ModelDescription& m) const override {
    return fmt::format("mDCSRN {}: {} blocks of {} units, growth rate {}", m.name(), m.blocks, m.units, m.growth);
  }

  void add_tensors(const ModelDescription& m, TensorTable& table) const override;
  int64_t least_convs(const ModelDescription& m) const override { return int64_t{m.blocks} * m.units; }
  GraphValue graph(NetworkGraph& g, const ModelDescription& m, const GraphValue& image) const override;

  Marks marks() const override { return {"stem.conv.weight", "blocks.0.units.0."}; }
  ModelDescription model_by_names(const OwnTensors& tensors, const std::string& where) const override;

  bool recognises(const ForeignLayers&) const override { return true; }  // what nobody else does; or to refuse it
  ForeignModel model_by_shapes(const ForeignLayers& layers, const std::string& where) const override;

  // "b4u4", "b1u16-r"
  std::optional<ModelDescription> parse_name(std::string_view text) const override;
  std::string short_name(const ModelDescription& m) const override {
    return fmt::format("b{}u{}{}", m.blocks, m.units, m.reconstruction ? "-r" : "");
  }
  std::string examples() const override { return "b4u4, b1u16-r, b4u4,k=16,bottleneck=never"; }
  std::vector<std::string> further_options() const override {
    return {"bottleneck=auto|never|always", "trunk=with-inputs|new-features"};
  }
  bool set_further(ModelDescription& m, std::string_view option, const std::string& value) const override {
    if (option == "bottleneck")
      m.bottleneck = value_of(kBottleneckWords, value, "bottleneck");
    else if (option == "trunk")
      m.trunk = value_of(kTrunkWords, value, "trunk");
    else
      return false;
    return true;
  }
  void write_further(const ModelDescription& m, nlohmann::json& object) const override {
    object["bottleneck"] = text_of(kBottleneckWords, m.bottleneck);
    object["trunk"] = text_of(kTrunkWords, m.trunk);
    object["reconstruction"] = m.reconstruction;
  }
  void read_further(JsonFields& fields, ModelDescription& m) const override {
    m.bottleneck =
        fields.word("bottleneck", [](const std::string& t) { return value_of(kBottleneckWords, t, "bottleneck"); });
    m.trunk = fields.word("trunk", [](const std::string& t) { return value_of(kTrunkWords, t, "trunk"); });
    m.reconstruction = fields.boolean("reconstruction");
  }
  std::vector<std::pair<std::string, std::string>> further_lines(const ModelDescription& m) const override {
    return {{"bottleneck", text_of(kBottleneckWords, m.bottleneck)},
            {"trunk", text_of(kTrunkWords, m.trunk)},
            {"output", m.reconstruction ? "reconstruction (-r)" : "direct feature combination"}};
  }
  std::string details(const ModelDescription& m) const override {
    return fmt::format("k = {}, bottleneck {}, trunk {}", m.growth, text_of(kBottleneckWords, m.bottleneck),
                       text_of(kTrunkWords, m.trunk));
  }
};

std::optional<ModelDescription> Mdcsrn::parse_name(std::string_view text) const {
  ModelDescription model = usual();
  if (text.ends_with("-r")) {
    model.reconstruction = true;
    text.remove_suffix(2);
  }
  const size_t u = text.find('u');
  if (!text.starts_with('b') || u == std::string_view::npos || u < 2 || u + 1 == text.size()) return {};
  model.blocks = bounded_int(text.substr(1, u - 1), "number of blocks", limits::blocks);
  model.units = bounded_int(text.substr(u + 1), "number of units", limits::units);
  return model;
}

void Mdcsrn::add_tensors(const ModelDescription& m, TensorTable& table) const {
  const int k = m.growth;
  table.conv("stem.conv", 2 * k, 1, 3);
  for (int i = 0; i < m.blocks; ++i) {
    if (i > 0) table.conv(fmt::format("compressors.{}.conv", i - 1), 2 * k, m.trunk_channels(i), 1);
    for (int j = 0; j < m.units; ++j) {
      const std::string unit = fmt::format("blocks.{}.units.{}", i, j);
      int c = (2 + j) * k;
      if (m.unit_has_bottleneck(j)) {
        table.norm(unit + ".bottleneck.norm", c);
        table.conv(unit + ".bottleneck.conv", 4 * k, c, 1);
        c = 4 * k;
      }
      table.norm(unit + ".norm", c);
      table.conv(unit + ".conv", k, c, 3);
    }
  }
  const int trunk = m.trunk_channels(m.blocks);
  if (m.reconstruction) {
    table.conv("reconstruction.compress.conv", 8 * k, trunk, 1);
    table.norm("reconstruction.norm", 8 * k);
    table.conv("reconstruction.conv", 1, 8 * k, 3);
  } else {
    table.conv("combine.conv", 1, trunk, 1);
  }
}

// Behind the lines: channels of b4u4, k = 12.
GraphValue Mdcsrn::graph(NetworkGraph& g, const ModelDescription& m, const GraphValue& image) const {
  const auto norm_elu_conv = [&g](const std::string& layer, const GraphValue& x) {
    return g.conv(layer + ".conv", g.elu(g.norm(layer + ".norm", x)));
  };
  std::vector<GraphValue> trunk;  // features, not blocks: each is copied once where all are read
  for (int i = 0; i < m.blocks; i++) {
    const GraphValue x_i = i == 0 ? g.conv("stem.conv", image)                                           // 1 -> 24
                                  : g.conv(fmt::format("compressors.{}.conv", i - 1), g.concat(trunk));  // 72 i -> 24
    std::vector<GraphValue> block{x_i};  // [x_i, d1 .. dj]
    for (int j = 0; j < m.units; j++) {
      const std::string unit = fmt::format("blocks.{}.units.{}", i, j);
      GraphValue x = g.concat(block);
      if (m.unit_has_bottleneck(j)) x = norm_elu_conv(unit + ".bottleneck", x);  // 60 -> 48
      block.push_back(norm_elu_conv(unit, x));                                   // 24, 36, 48 -> 12
    }
    const bool leave_out_input = m.trunk == Trunk::new_features && i > 0;
    trunk.insert(trunk.end(), block.begin() + leave_out_input, block.end());
  }
  const GraphValue all = g.concat(trunk);
  return m.reconstruction ? norm_elu_conv("reconstruction", g.conv("reconstruction.compress.conv", all))  // 96 -> 1
                          : g.conv("combine.conv", all);                                                  // 288 -> 1
}

ModelDescription Mdcsrn::model_by_names(const OwnTensors& tensors, const std::string& where) const {
  ModelDescription model = usual();
  model.blocks = tensors.count("blocks.", limits::blocks);
  model.units = tensors.count(".units.", limits::units);
  const int64_t stem_channels = tensors.outputs("stem.conv.weight");
  if (model.blocks < 1 || model.blocks > limits::blocks || model.units < 1 || model.units > limits::units ||
      stem_channels < 2 || stem_channels > 2 * limits::growth)
    throw WeightsError(fmt::format("{}: {} blocks of {} units and a stem of {} channels are no network that is read",
                                   where, model.blocks, model.units, stem_channels));
  model.growth = static_cast<int>(stem_channels / 2);
  const auto has_bottleneck = [&](int unit) {
    return tensors.contains(fmt::format("blocks.0.units.{}.bottleneck.conv.weight", unit));
  };
  if (has_bottleneck(0))
    model.bottleneck = Bottleneck::always;
  else if (model.units > 3 && !has_bottleneck(model.units - 1))
    model.bottleneck = Bottleneck::never;
  model.reconstruction = tensors.contains("reconstruction.conv.weight");
  const int64_t trunk =
      tensors.inputs(model.reconstruction ? "reconstruction.compress.conv.weight" : "combine.conv.weight");
  ModelDescription other = model;
  other.trunk = Trunk::new_features;
  if (trunk != model.trunk_channels(model.blocks) && trunk == other.trunk_channels(model.blocks))
    model.trunk = Trunk::new_features;
  return model;
}

// How foreign networks line up the features that their compressors read, and how that becomes one of ours.
struct TrunkLayout {
  Trunk trunk;        // what it becomes
  bool stem_twice;    // the stem stands before the trunk once more, as in the public re-implementation
  std::string order;  // for people

  int channels(ModelDescription model, int n_blocks) const {
    model.trunk = trunk;
    return model.trunk_channels(n_blocks) + (stem_twice ? 2 * model.growth : 0);
  }
};

// The layout with widths[n - 1] channels after n blocks, n = 1 .. B. The order of the features within those channels
// cannot be seen and is assumed.
TrunkLayout find_trunk_layout(const ModelDescription& model, const std::vector<int64_t>& widths,
                              const std::string& where) {
  const TrunkLayout layouts[] = {
      {Trunk::with_inputs, false, "[O_1, O_2, ...], each O_i = [x_i, d_1, ..., d_U]"},
      {Trunk::with_inputs, true, "[x_1, O_1, O_2, ...], each O_i = [x_i, d_1, ..., d_U]: x_1 twice"},
      {Trunk::new_features, false, "[x_1, d_1, d_2, ...]: inputs of later blocks left out"},
      {Trunk::new_features, true, "[x_1, x_1, d_1, d_2, ...]: x_1 twice, inputs of later blocks left out"},
  };
  std::string known;
  for (const TrunkLayout& layout : layouts) {
    std::vector<int64_t> expected;
    for (size_t n = 1; n <= widths.size(); ++n) expected.push_back(layout.channels(model, static_cast<int>(n)));
    if (expected == widths) return layout;
    known += fmt::format("{}{}", known.empty() ? "" : "; ", fmt::join(expected, ", "));
  }
  throw WeightsError(fmt::format(
      "{}: its 1x1x1 convolutions read trunks of {} channels, which for {} blocks of {} units and k = {} is no layout "
      "that is known ({})",
      where, fmt::join(widths, ", "), model.blocks, model.units, model.growth, known));
}

// Where a block has too few units to tell, the default stands.
Bottleneck find_bottleneck(ModelDescription model, size_t n_bottlenecks, const std::string& where) {
  for (const Bottleneck mode : {Bottleneck::automatic, Bottleneck::never, Bottleneck::always}) {
    model.bottleneck = mode;
    size_t expected = 0;
    for (int j = 0; j < model.units; ++j) expected += model.unit_has_bottleneck(j) ? model.blocks : 0;
    if (expected == n_bottlenecks) return mode;
  }
  throw WeightsError(fmt::format("{}: {} bottlenecks fit {} blocks of {} units neither where c > 4k nor in every unit",
                                 where, n_bottlenecks, model.blocks, model.units));
}

// B, U, k and the rest from numbers of layers and their widths. The number of output channels tells the 1x1x1
// convolutions apart: 2k compressor, 4k bottleneck, 1 combine, 8k reconstruction.
ForeignModel Mdcsrn::model_by_shapes(const ForeignLayers& layers, const std::string& where) const {
  const auto refuse = [&](const std::string& why) { throw WeightsError(fmt::format("{}: {}", where, why)); };
  const auto stems = layers.first_convs(3);
  if (stems.size() != 1)
    refuse(stems.empty() ? "has no 3x3x3 convolution of one channel to begin with; it is no network that is known"
                         : "has several 3x3x3 convolutions of one channel: " + shown_list(names_of(stems)));
  const int64_t stem_channels = stems[0]->co;
  if (stem_channels < 2 || stem_channels % 2 || stem_channels > 2 * limits::growth)
    refuse(fmt::format("its first convolution has {} channels, which is not 2k", stem_channels));
  const int64_t k = stem_channels / 2;
  const auto pointwise = [&](int64_t co) {
    return layers.convs_where([co](const ForeignConv& c) { return c.kernel == 1 && c.co == co; });
  };
  const auto compressors = pointwise(2 * k), bottlenecks = pointwise(4 * k), combines = pointwise(1),
             reconstructions = pointwise(8 * k);
  if (combines.size() + reconstructions.size() != 1)
    refuse(fmt::format("needs one 1x1x1 convolution at the end, to 1 or {} channels; it has {} and {}", 8 * k,
                       combines.size(), reconstructions.size()));
  ForeignModel out{usual(), {}, {}};
  ModelDescription& model = out.model;
  model.growth = static_cast<int>(k);
  model.reconstruction = !reconstructions.empty();
  const size_t n_blocks = compressors.size() + 1;
  const size_t n_units =
      layers.convs_where([k](const ForeignConv& c) { return c.kernel == 3 && c.ci != 1 && c.co == k; }).size() -
      (model.reconstruction && k == 1 ? 1 : 0);
  if (n_units == 0 || n_units % n_blocks || n_blocks > limits::blocks || n_units / n_blocks > limits::units)
    refuse(fmt::format("{} compressors make {} blocks, over which {} dense units cannot be divided evenly",
                       compressors.size(), n_blocks, n_units));
  model.blocks = static_cast<int>(n_blocks);
  model.units = static_cast<int>(n_units / n_blocks);
  model.bottleneck = find_bottleneck(model, bottlenecks.size(), where);

  std::vector<int64_t> widths;
  for (const ForeignConv* c : compressors) widths.push_back(c->ci);
  std::sort(widths.begin(), widths.end());
  widths.push_back((model.reconstruction ? reconstructions : combines)[0]->ci);
  const TrunkLayout layout = find_trunk_layout(model, widths, where);
  model.trunk = layout.trunk;
  if (layout.stem_twice) {
    for (int i = 0; i + 1 < model.blocks; ++i) out.repeated[fmt::format("compressors.{}.conv", i)] = stem_channels;
    out.repeated[model.reconstruction ? "reconstruction.compress.conv" : "combine.conv"] = stem_channels;
  }
  out.notes.push_back(fmt::format("trunk of {} channels, taken to be {}", fmt::join(widths, ", "), layout.order));
  if (layout.stem_twice) out.notes.push_back("the weights of the repeated x_1 were added up");
  out.notes.push_back("within a block, features are taken to stand as [x_i, d_1, d_2, ...]");
  return out;
}

}  // namespace

bool ModelDescription::unit_has_bottleneck(int unit) const {
  switch (bottleneck) {
    case Bottleneck::never:
      return false;
    case Bottleneck::always:
      return true;
    case Bottleneck::automatic:
      break;
  }
  return 2 + unit > 4;  // c > 4k with c = (2 + unit) k
}

int ModelDescription::trunk_channels(int n_blocks) const {
  return trunk == Trunk::with_inputs ? n_blocks * block_channels() : (2 + n_blocks * units) * growth;
}

const Architecture& architectures::mdcsrn() {
  static const Mdcsrn architecture;
  return architecture;
}

}  // namespace sr
