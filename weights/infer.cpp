#include "weights/infer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <tuple>

#include "weights/foreign_layers.h"
#include "weights/trunk_layout.h"

namespace sr {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("{}", fmt::join(shape, "x"));
}

// --- names of weights/schema.h need no guessing

// The largest number behind `word` ("units.", say) in the names, plus 1.
int count_by_names(const std::map<std::string, Tensor>& tensors, std::string_view word, int most) {
  int count = 0;
  for (const auto& [name, tensor] : tensors) {
    const size_t at = name.find(word);
    if (at == std::string::npos) continue;
    int index = 0;
    const char* begin = name.data() + at + word.size();
    std::from_chars(begin, name.data() + name.size(), index);
    count = std::max(count, std::min(index, most) + 1);
  }
  return count;
}

int64_t extent(const std::map<std::string, Tensor>& tensors, const std::string& name, size_t axis) {
  const auto found = tensors.find(name);
  return found == tensors.end() || found->second.shape.size() != 5 ? 0 : found->second.shape[axis];
}

// A number of layers or their width, as the tensors have it.
struct FoundSize {
  int ModelDescription::*member;
  int64_t value;
  int most;
};

// A baseline of these sizes; the schema finds what is wrong beyond their range.
ModelDescription model_of(Architecture architecture, std::initializer_list<FoundSize> sizes, const std::string& where) {
  ModelDescription model = default_model(architecture);
  for (const auto& [member, value, most] : sizes) {
    if (value < 1 || value > most)
      throw WeightsError(
          fmt::format("{}: read as {}, its layers' numbers and widths fit no network", where, to_string(architecture)));
    model.*member = static_cast<int>(value);
  }
  return model;
}

ModelDescription mdcsrn_of_own_names(const std::map<std::string, Tensor>& tensors, const std::string& where) {
  ModelDescription model;
  model.blocks = count_by_names(tensors, "blocks.", limits::blocks);
  model.units = count_by_names(tensors, ".units.", limits::units);
  const int64_t stem_channels = extent(tensors, "stem.conv.weight", 0);
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
      extent(tensors, model.reconstruction ? "reconstruction.compress.conv.weight" : "combine.conv.weight", 1);
  ModelDescription other = model;
  other.trunk = Trunk::new_features;
  if (trunk != model.trunk_channels(model.blocks) && trunk == other.trunk_channels(model.blocks))
    model.trunk = Trunk::new_features;
  return model;
}

ModelDescription model_of_own_names(Architecture architecture, const std::map<std::string, Tensor>& tensors,
                                    const std::string& where) {
  using M = ModelDescription;
  const auto outputs = [&](const char* conv) { return extent(tensors, conv, 0); };
  const auto count = [&](const char* word, int most) { return count_by_names(tensors, word, most); };
  switch (architecture) {
    case Architecture::fsrcnn:
      return model_of(architecture,
                      {{&M::features, outputs("extract.conv.weight"), limits::features},
                       {&M::shrink, outputs("shrink.conv.weight"), limits::features},
                       {&M::blocks, count("mapping.", limits::blocks), limits::blocks}},
                      where);
    case Architecture::srresnet:
      return model_of(architecture,
                      {{&M::features, outputs("head.conv.weight"), limits::features},
                       {&M::blocks, count("blocks.", limits::blocks), limits::blocks}},
                      where);
    case Architecture::srdensenet:
      return model_of(architecture,
                      {{&M::growth, outputs("stem.conv.weight") / 2, limits::growth},
                       {&M::blocks, count("blocks.", limits::blocks), limits::blocks},
                       {&M::units, count(".units.", limits::units), limits::units}},
                      where);
    case Architecture::mdcsrn:
      break;
  }
  return mdcsrn_of_own_names(tensors, where);
}

// The architecture whose names these are, and what all of them begin with ("module.", "").
struct OwnNames {
  Architecture architecture;
  std::string prefix;
};
std::optional<OwnNames> find_own_names(const TensorGroup& group) {
  // The first layer, and another one that tells the architectures apart; more telling pairs first.
  constexpr std::tuple<Architecture, std::string_view, std::string_view> marks[] = {
      {Architecture::fsrcnn, "extract.conv.weight", "shrink.conv.weight"},
      {Architecture::srresnet, "head.conv.weight", "blocks.0.0.conv.weight"},
      {Architecture::srdensenet, "stem.conv.weight", "tail.0.conv.weight"},
      {Architecture::mdcsrn, "stem.conv.weight", "blocks.0.units.0."}};
  for (const auto& [architecture, first, other] : marks)
    for (const NamedTensor& t : group.tensors) {
      if (t.name != first && !t.name.ends_with("." + std::string(first))) continue;
      const std::string prefix = t.name.substr(0, t.name.size() - first.size());
      const std::string mark = prefix + std::string(other);
      if (std::ranges::any_of(group.tensors, [&](const NamedTensor& o) { return o.name.starts_with(mark); }))
        return OwnNames{architecture, prefix};
    }
  return {};
}

Inference take_own_names(const TensorGroup& group, const OwnNames& own, const std::string& where) {
  const std::string& prefix = own.prefix;
  Inference out;
  std::vector<std::string> ignored;
  for (const NamedTensor& t : group.tensors) {
    if (t.name.ends_with("num_batches_tracked") || t.shape.empty()) {
      ignored.push_back(t.name);
      continue;
    }
    const std::string name = t.name.starts_with(prefix) ? t.name.substr(prefix.size()) : t.name;
    if (!out.tensors.try_emplace(name, Tensor{t.shape, t.data}).second)
      throw WeightsError(fmt::format("{}: tensor {} is there twice", where, shown(name)));
    out.matches.push_back({t.name, shape_text(t.shape), name});
  }
  out.model = model_of_own_names(own.architecture, out.tensors, where);
  out.notes.push_back("the names are those of a srengine weights file; nothing was guessed");
  if (!ignored.empty()) out.notes.push_back("ignored: " + shown_list(ignored));
  return out;
}

// --- anybody's names: convolutions by shape, norms by size and by whose convolution they belong to

struct ConvShape {
  int64_t co, ci;
  int kernel;
  friend auto operator<=>(const ConvShape&, const ConvShape&) = default;
};

ConvShape shape_of(const ForeignConv& conv) {
  return {conv.co, conv.ci, conv.kernel};
}

template <class Layer>
std::vector<std::string> names_of(const std::vector<const Layer*>& layers) {
  std::vector<std::string> names;
  for (const Layer* layer : layers) names.push_back(layer->name);
  return names;
}

class Inferrer {
 public:
  Inferrer(const ForeignLayers& layers, bool keeps_order, const std::string& where)
      : layers_(layers), keeps_order_(keeps_order), where_(where) {}

  Inference run() {
    find_architecture();
    match_convs();
    match_norms();
    match_prelus();
    out_.channels_last = layers_.channels_last;
    if (layers_.channels_last) out_.notes.push_back("kernels lie as in TensorFlow, (z, y, x, in, out)");
    if (!layers_.ignored.empty()) out_.notes.push_back("ignored: " + shown_list(layers_.ignored));
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& why) const { throw WeightsError(fmt::format("{}: {}", where_, why)); }

  template <class Condition>
  std::vector<const ForeignConv*> convs_where(Condition condition) const {
    std::vector<const ForeignConv*> found;
    for (const ForeignConv& conv : layers_.convs)
      if (condition(conv)) found.push_back(&conv);
    return found;
  }

  // What begins with a wide kernel, or has no norms and SRDenseNet's tail, is one of the baselines.
  void find_architecture() {
    const auto first = [&](int kernel) {
      return convs_where([kernel](const ForeignConv& c) { return c.kernel == kernel && c.ci == 1; });
    };
    if (const auto wide = first(5); wide.size() == 1) return find_fsrcnn(wide[0]->co);
    if (const auto wide = first(9); wide.size() == 1) return find_srresnet(wide[0]->co);
    const auto stem = first(3);
    if (stem.size() == 1 && layers_.norms.empty()) {
      const int64_t tail = 4 * stem[0]->co;
      const auto is_tail = [tail](const ForeignConv& c) { return c.kernel == 3 && c.ci == tail && c.co == tail; };
      if (!convs_where(is_tail).empty()) return find_srdensenet(stem[0]->co);
    }
    find_mdcsrn();
  }

  void find_fsrcnn(int64_t d) {
    const auto shrink = convs_where([d](const ForeignConv& c) { return c.kernel == 1 && c.ci == d; });
    const auto mapping = convs_where([](const ForeignConv& c) { return c.kernel == 3; });
    out_.model = model_of(Architecture::fsrcnn,
                          {{&ModelDescription::features, d, limits::features},
                           {&ModelDescription::shrink, shrink.empty() ? 0 : shrink[0]->co, limits::features},
                           {&ModelDescription::blocks, std::ssize(mapping), limits::blocks}},
                          where_);
  }

  void find_srresnet(int64_t f) {  // two convolutions a block, and three behind them
    const auto n = static_cast<int64_t>(convs_where([](const ForeignConv& c) { return c.kernel == 3; }).size());
    out_.model = model_of(Architecture::srresnet,
                          {{&ModelDescription::features, f, limits::features},
                           {&ModelDescription::blocks, n % 2 ? (n - 3) / 2 : 0, limits::blocks}},
                          where_);
  }

  // The widest input of a unit is (1 + U) k with one block, (2 U - 1) k with more.
  void find_srdensenet(int64_t stem_channels) {
    const int64_t k = stem_channels / 2;
    auto units = convs_where([k](const ForeignConv& c) { return c.kernel == 3 && c.ci != 1 && c.co == k; });
    if (k == 1 && !units.empty()) units.pop_back();  // 8 -> 1 is the last layer
    const auto n = static_cast<int64_t>(units.size());
    int64_t widest = 0;
    for (const ForeignConv* unit : units) widest = std::max(widest, unit->ci);
    const bool one_block = widest == (1 + n) * k;
    const int64_t n_units = one_block ? n : k > 0 ? (widest / k + 1) / 2 : 0;
    const int64_t n_blocks = n_units > 0 && n % n_units == 0 ? n / n_units : 0;
    out_.model = model_of(Architecture::srdensenet,
                          {{&ModelDescription::growth, k, limits::growth},
                           {&ModelDescription::units, n_units, limits::units},
                           {&ModelDescription::blocks, n_blocks, limits::blocks}},
                          where_);
  }

  // B, U, k and the rest from numbers of layers and their widths. The number of output channels tells the 1x1x1
  // convolutions apart: 2k compressor, 4k bottleneck, 1 combine, 8k reconstruction.
  void find_mdcsrn() {
    const auto stems = convs_where([](const ForeignConv& c) { return c.kernel == 3 && c.ci == 1; });
    if (stems.size() != 1)
      refuse(stems.empty() ? "has no 3x3x3 convolution of one channel to begin with; it is no network that is known"
                           : "has several 3x3x3 convolutions of one channel: " + shown_list(names_of(stems)));
    const int64_t stem_channels = stems[0]->co;
    if (stem_channels < 2 || stem_channels % 2 || stem_channels > 2 * limits::growth)
      refuse(fmt::format("its first convolution has {} channels, which is not 2k", stem_channels));
    const int64_t k = stem_channels / 2;
    const auto pointwise = [&](int64_t co) {
      return convs_where([co](const ForeignConv& c) { return c.kernel == 1 && c.co == co; });
    };
    const auto compressors = pointwise(2 * k), bottlenecks = pointwise(4 * k), combines = pointwise(1),
               reconstructions = pointwise(8 * k);
    if (combines.size() + reconstructions.size() != 1)
      refuse(fmt::format("needs one 1x1x1 convolution at the end, to 1 or {} channels; it has {} and {}", 8 * k,
                         combines.size(), reconstructions.size()));
    ModelDescription& model = out_.model;
    model.growth = static_cast<int>(k);
    model.reconstruction = !reconstructions.empty();
    const size_t n_blocks = compressors.size() + 1;
    const size_t n_units =
        convs_where([k](const ForeignConv& c) { return c.kernel == 3 && c.ci != 1 && c.co == k; }).size() -
        (model.reconstruction && k == 1 ? 1 : 0);
    if (n_units == 0 || n_units % n_blocks || n_blocks > limits::blocks || n_units / n_blocks > limits::units)
      refuse(fmt::format("{} compressors make {} blocks, over which {} dense units cannot be divided evenly",
                         compressors.size(), n_blocks, n_units));
    model.blocks = static_cast<int>(n_blocks);
    model.units = static_cast<int>(n_units / n_blocks);
    find_bottleneck(bottlenecks.size());

    std::vector<int64_t> widths;
    for (const ForeignConv* c : compressors) widths.push_back(c->ci);
    std::sort(widths.begin(), widths.end());
    widths.push_back((model.reconstruction ? reconstructions : combines)[0]->ci);
    layout_ = find_trunk_layout(model, widths, where_);
    model.trunk = layout_.trunk;
    out_.notes.push_back(fmt::format("trunk of {} channels, taken to be {}", fmt::join(widths, ", "), layout_.order));
    if (layout_.stem_twice) out_.notes.push_back("the weights of the repeated x_1 were added up");
    out_.notes.push_back("within a block, features are taken to stand as [x_i, d_1, d_2, ...]");
  }

  // Where a block has too few units to tell, the default stands.
  void find_bottleneck(size_t n_bottlenecks) {
    ModelDescription& model = out_.model;
    for (const Bottleneck mode : {Bottleneck::automatic, Bottleneck::never, Bottleneck::always}) {
      model.bottleneck = mode;
      size_t expected = 0;
      for (int j = 0; j < model.units; ++j) expected += model.unit_has_bottleneck(j) ? model.blocks : 0;
      if (expected == n_bottlenecks) return;
    }
    refuse(fmt::format("{} bottlenecks fit {} blocks of {} units neither where c > 4k nor in every unit", n_bottlenecks,
                       model.blocks, model.units));
  }

  // Our layers' convolutions and norms with the shapes they have in the checkpoint, in the order of the forward pass.
  struct ConvSlot {
    std::string layer;
    ConvShape shape;
    const ForeignConv* conv = nullptr;
  };
  struct NormSlot {
    std::string layer;
    int64_t c;
    size_t conv;  // the convolution behind it, or before it (SRResNet), in conv_slots_
  };

  void make_slots() {
    int n_trunk = 0;
    for (const TensorSpec& spec : tensor_table(out_.model)) {
      const std::string layer = spec.name.substr(0, spec.name.rfind('.'));
      const size_t conv = conv_slots_.size() - (out_.model.architecture == Architecture::srresnet ? 1 : 0);
      if (spec.role == TensorRole::norm_weight) norm_slots_.push_back({layer, spec.shape[0], conv});
      if (spec.role == TensorRole::prelu_slope) prelu_slots_.push_back(spec);
      if (spec.role != TensorRole::conv_weight) continue;
      ConvShape shape{spec.shape[0], spec.shape[1], static_cast<int>(spec.shape[2])};
      if (reads_trunk(layer)) shape.ci = layout_.channels(out_.model, ++n_trunk);
      conv_slots_.push_back({layer, shape});
    }
  }
  static bool reads_trunk(const std::string& layer) {
    return layer.starts_with("compressors.") || layer == "combine.conv" || layer == "reconstruction.compress.conv";
  }

  // Layers of one shape in the order of the forward pass.
  std::vector<const NamedLayer*> ordered(const std::vector<const NamedLayer*>& layers, const std::string& what) const {
    const auto order = in_order(layers, keeps_order_);
    if (!order)
      refuse(fmt::format("neither names nor order tell these {} apart: {}", what, shown_list(names_of(layers))));
    return *order;
  }

  void match_convs() {
    make_slots();
    std::map<ConvShape, std::vector<const NamedLayer*>> candidates;
    for (const ForeignConv& conv : layers_.convs) candidates[shape_of(conv)].push_back(&conv);
    std::map<ConvShape, std::vector<ConvSlot*>> slots;
    for (ConvSlot& slot : conv_slots_) slots[slot.shape].push_back(&slot);

    for (const auto& [shape, found] : candidates)
      if (slots[shape].size() < found.size()) refuse_number(shape, found, slots[shape].size());
    for (const auto& [shape, wanted] : slots) {
      const auto& found = candidates[shape];
      if (found.size() != wanted.size()) refuse_number(shape, found, wanted.size());
      const auto order = ordered(found, conv_text(shape) + " convolutions");
      for (size_t i = 0; i < wanted.size(); ++i) {
        wanted[i]->conv = static_cast<const ForeignConv*>(order[i]);
        take(*wanted[i]);
      }
    }
  }

  static std::string conv_text(const ConvShape& s) {
    return fmt::format("{0}x{0}x{0}, {1} -> {2}", s.kernel, s.ci, s.co);
  }
  [[noreturn]] void refuse_number(const ConvShape& shape, const std::vector<const NamedLayer*>& found,
                                  size_t wanted) const {
    refuse(fmt::format("read as {}, the network has {} convolutions {}; the checkpoint has {}{}{}", out_.model.name(),
                       wanted, conv_text(shape), found.size(), found.empty() ? "" : ": ", shown_list(names_of(found))));
  }

  void take(const ConvSlot& slot) {
    const ForeignConv& conv = *slot.conv;
    const bool trunk = reads_trunk(slot.layer);
    std::vector<float> weight = trunk ? fold(conv.weight, conv.co, layout_, out_.model) : conv.weight;
    const auto ci = static_cast<int64_t>(weight.size()) / (conv.co * conv.kernel * conv.kernel * conv.kernel);
    out_.tensors[slot.layer + ".weight"] = {{conv.co, ci, conv.kernel, conv.kernel, conv.kernel}, std::move(weight)};
    add_match(*conv.original, slot.layer + ".weight");
    out_.matches.back().folded = trunk && layout_.stem_twice;
    if (!conv.bias) return;
    out_.tensors[slot.layer + ".bias"] = {conv.bias->shape, conv.bias->data};
    add_match(*conv.bias, slot.layer + ".bias");
  }

  // Norms of one size: whose name is nearest to that of the convolution that reads it; among equals, by order.
  void match_norms() {
    std::map<int64_t, std::vector<const NamedLayer*>> candidates;
    for (const ForeignNorm& norm : layers_.norms) candidates[norm.c].push_back(&norm);
    std::map<int64_t, std::vector<const NormSlot*>> slots;
    for (const NormSlot& slot : norm_slots_) slots[slot.c].push_back(&slot);
    for (const auto& [c, found] : candidates)
      if (slots[c].size() < found.size()) refuse_norms(c, found, slots[c].size());
    for (const auto& [c, wanted] : slots) {
      if (candidates[c].size() != wanted.size()) refuse_norms(c, candidates[c], wanted.size());
      match_norms_of_size(candidates[c], wanted);
    }
  }
  [[noreturn]] void refuse_norms(int64_t c, const std::vector<const NamedLayer*>& found, size_t wanted) const {
    refuse(fmt::format("read as {}, the network has {} norms of {} channels; the checkpoint has {}{}{}",
                       out_.model.name(), wanted, c, found.size(), found.empty() ? "" : ": ",
                       shown_list(names_of(found))));
  }

  void match_norms_of_size(const std::vector<const NamedLayer*>& found, const std::vector<const NormSlot*>& wanted) {
    const auto order = in_order(found, keeps_order_);
    std::vector<const NamedLayer*> left = order ? *order : found;
    for (const NormSlot* slot : wanted) {
      const std::string& reader = conv_slots_[slot->conv].conv->name;
      std::vector<std::pair<int, int>> affinity;
      for (const NamedLayer* layer : left) affinity.push_back(name_affinity(layer->name, reader));
      const auto nearest = std::max_element(affinity.begin(), affinity.end());  // the first of equals
      if (!order && std::count(affinity.begin(), affinity.end(), *nearest) > 1) ordered(left, "norms");
      const auto best = left.begin() + (nearest - affinity.begin());
      take(*slot, *static_cast<const ForeignNorm*>(*best));
      left.erase(best);
    }
  }

  void take(const NormSlot& slot, const ForeignNorm& norm) {
    const std::pair<const NamedTensor*, const char*> parts[] = {
        {norm.weight, ".weight"}, {norm.bias, ".bias"}, {norm.mean, ".running_mean"}, {norm.variance, ".running_var"}};
    for (const auto& [tensor, ending] : parts) {
      if (!tensor) continue;
      out_.tensors[slot.layer + ending] = {tensor->shape, tensor->data};
      add_match(*tensor, slot.layer + ending);
    }
  }

  // By order alone: their sizes are alike. One slope for all channels becomes one for each.
  void match_prelus() {
    const auto& found = layers_.prelus;
    if (found.size() != prelu_slots_.size()) {
      std::vector<std::string> names;
      for (const ForeignPRelu& prelu : found)
        names.push_back(fmt::format("{} ({})", prelu.slope->name, fmt::join(prelu.slope->shape, ", ")));
      refuse(fmt::format("read as {}, the network has {} PReLUs; the checkpoint has {}{}{}", out_.model.name(),
                         prelu_slots_.size(), found.size(), found.empty() ? "" : ": ", shown_list(names)));
    }
    std::vector<const NamedLayer*> layers;
    for (const ForeignPRelu& prelu : found) layers.push_back(&prelu);
    if (layers.empty()) return;
    const auto order = ordered(layers, "PReLUs");
    for (size_t i = 0; i < order.size(); ++i) {
      const NamedTensor& slope = *static_cast<const ForeignPRelu*>(order[i])->slope;
      const TensorSpec& spec = prelu_slots_[i];
      if (slope.shape != spec.shape && slope.data.size() != 1)
        refuse(
            fmt::format("{} has {} slopes where {} channels are", shown(slope.name), slope.data.size(), spec.shape[0]));
      std::vector<float> data = slope.data;
      data.resize(static_cast<size_t>(spec.shape[0]), slope.data[0]);
      out_.tensors[spec.name] = {spec.shape, std::move(data)};
      add_match(slope, spec.name);
    }
  }

  void add_match(const NamedTensor& tensor, const std::string& to) {
    out_.matches.push_back({tensor.name, shape_text(tensor.shape), to});
  }

  const ForeignLayers& layers_;
  bool keeps_order_;
  const std::string& where_;
  Inference out_;
  TrunkLayout layout_{};
  std::vector<ConvSlot> conv_slots_;
  std::vector<NormSlot> norm_slots_;
  std::vector<TensorSpec> prelu_slots_;
};

}  // namespace

Inference infer_network(const TensorGroup& group, bool keeps_order, const std::string& where) {
  if (const auto own = find_own_names(group)) return take_own_names(group, *own, where);
  Inference out = Inferrer(gather_layers(group, keeps_order, where), keeps_order, where).run();
  std::map<std::string, size_t> place;
  for (const TensorSpec& spec : tensor_table(out.model)) place.emplace(spec.name, place.size());
  std::sort(out.matches.begin(), out.matches.end(),
            [&](const Match& a, const Match& b) { return place[a.to] < place[b.to]; });
  return out;
}

}  // namespace sr
