#include "weights/infer.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "weights/architecture.h"
#include "weights/foreign_layers.h"
#include "weights/match_layers.h"
#include "weights/own_tensors.h"

namespace sr {
namespace {

// The architecture whose names these are, and what all of them begin with ("module.", "").
struct OwnNames {
  const Architecture* architecture;
  std::string prefix;
};

std::optional<OwnNames> find_own_names(const TensorGroup& group) {
  for (const Architecture* architecture : architectures::by_recognition()) {
    const auto [first, other] = architecture->marks();
    for (const NamedTensor& t : group.tensors) {
      if (t.name != first && !t.name.ends_with("." + std::string(first))) continue;
      const std::string prefix = t.name.substr(0, t.name.size() - first.size());
      const std::string mark = prefix + std::string(other);
      if (std::ranges::any_of(group.tensors, [&](const NamedTensor& o) { return o.name.starts_with(mark); }))
        return OwnNames{architecture, prefix};
    }
  }
  return {};
}

// Names of the tensor table need no guessing.
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
    out.matches.push_back({t.name, fmt::format("{}", fmt::join(t.shape, "x")), name});
  }
  out.model = own.architecture->model_by_names(OwnTensors(out.tensors), where);
  out.notes.push_back("the names are those of a srengine weights file; nothing was guessed");
  if (!ignored.empty()) out.notes.push_back("ignored: " + shown_list(ignored));
  return out;
}

// What no other recognises is for the last to read or to refuse.
const Architecture& recognise(const ForeignLayers& layers) {
  for (const Architecture* architecture : architectures::by_recognition())
    if (architecture->recognises(layers)) return *architecture;
  return *architectures::by_recognition().back();
}

}  // namespace

Inference infer_network(const TensorGroup& group, bool keeps_order, const std::string& where) {
  if (const auto own = find_own_names(group)) return take_own_names(group, *own, where);
  const ForeignLayers layers = gather_layers(group, keeps_order, where);
  Inference out = match_layers(layers, recognise(layers).model_by_shapes(layers, where), keeps_order, where);
  std::map<std::string, size_t> place;
  for (const TensorSpec& spec : tensor_table(out.model)) place.emplace(spec.name, place.size());
  std::sort(out.matches.begin(), out.matches.end(),
            [&](const Match& a, const Match& b) { return place[a.to] < place[b.to]; });
  return out;
}

}  // namespace sr
