#include "weights/match_layers.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <stdexcept>

namespace sr {
namespace {

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("{}", fmt::join(shape, "x"));
}

struct ConvShape {
  int64_t co, ci;
  int kernel;
  friend auto operator<=>(const ConvShape&, const ConvShape&) = default;
};

ConvShape shape_of(const ForeignConv& conv) {
  return {conv.co, conv.ci, conv.kernel};
}

// 1x1x1 weights (co, n + ci) of x_1 .. x_n, x_1 .. x_n, ... -> (co, ci).
std::vector<float> fold(const std::vector<float>& weight, int64_t co, int64_t n_repeated) {
  const auto n = static_cast<size_t>(n_repeated);
  const size_t from_width = weight.size() / static_cast<size_t>(co), to_width = from_width - n;
  std::vector<float> out;
  out.reserve(static_cast<size_t>(co) * to_width);
  for (size_t o = 0; o < static_cast<size_t>(co); ++o) {
    const float* row = weight.data() + o * from_width;
    for (size_t i = 0; i < to_width; ++i) out.push_back(i < n ? row[i] + row[n + i] : row[n + i]);
  }
  return out;
}

class Matcher {
 public:
  Matcher(const ForeignLayers& layers, ForeignModel network, bool keeps_order, const std::string& where)
      : layers_(layers), keeps_order_(keeps_order), where_(where), repeated_(std::move(network.repeated)) {
    out_.model = network.model;
    out_.notes = std::move(network.notes);
  }

  Inference run() {
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

  // Our layers' convolutions and norms with the shapes they have in the checkpoint, in the order of the forward pass.
  struct ConvSlot {
    std::string layer;
    ConvShape shape;
    const ForeignConv* conv = nullptr;
  };
  struct NormSlot {
    std::string layer;
    int64_t c;
    std::string conv;  // the layer of the convolution behind it or before it
  };

  void make_slots() {
    for (const TensorSpec& spec : tensor_table(out_.model)) {
      const std::string layer = spec.name.substr(0, spec.name.rfind('.'));
      const std::string group = layer.substr(0, layer.rfind('.') + 1);  // "blocks.0.units.1."
      if (spec.role == TensorRole::norm_weight) norm_slots_.push_back({layer, spec.shape[0], group + "conv"});
      if (spec.role == TensorRole::prelu_slope) prelu_slots_.push_back(spec);
      if (spec.role != TensorRole::conv_weight) continue;
      conv_slots_.push_back({layer, {spec.shape[0], spec.shape[1] + repeated(layer), static_cast<int>(spec.shape[2])}});
    }
  }
  // Channels of a convolution's input that the foreign network has twice.
  int64_t repeated(const std::string& layer) const {
    const auto found = repeated_.find(layer);
    return found == repeated_.end() ? 0 : found->second;
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
    const int64_t n_repeated = repeated(slot.layer);
    std::vector<float> weight = n_repeated ? fold(conv.weight, conv.co, n_repeated) : conv.weight;
    const auto ci = static_cast<int64_t>(weight.size()) / (conv.co * conv.kernel * conv.kernel * conv.kernel);
    out_.tensors[slot.layer + ".weight"] = {{conv.co, ci, conv.kernel, conv.kernel, conv.kernel}, std::move(weight)};
    add_match(*conv.original, slot.layer + ".weight");
    out_.matches.back().folded = n_repeated > 0;
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
      const std::string& reader = conv_of(*slot).name;
      std::vector<std::pair<int, int>> affinity;
      for (const NamedLayer* layer : left) affinity.push_back(name_affinity(layer->name, reader));
      const auto nearest = std::max_element(affinity.begin(), affinity.end());  // the first of equals
      if (!order && std::count(affinity.begin(), affinity.end(), *nearest) > 1) ordered(left, "norms");
      const auto best = left.begin() + (nearest - affinity.begin());
      take(*slot, *static_cast<const ForeignNorm*>(*best));
      left.erase(best);
    }
  }

  const ForeignConv& conv_of(const NormSlot& norm) const {
    const auto slot = std::ranges::find(conv_slots_, norm.conv, &ConvSlot::layer);
    if (slot == conv_slots_.end()) throw std::logic_error(norm.layer + " is no convolution's");
    return *slot->conv;
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
  std::map<std::string, int64_t> repeated_;
  Inference out_;
  std::vector<ConvSlot> conv_slots_;
  std::vector<NormSlot> norm_slots_;
  std::vector<TensorSpec> prelu_slots_;
};

}  // namespace

Inference match_layers(const ForeignLayers& layers, ForeignModel network, bool keeps_order, const std::string& where) {
  return Matcher(layers, std::move(network), keeps_order, where).run();
}

}  // namespace sr
