#include "weights/import.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/printable.h"
#include "weights/bounded_json.h"
#include "weights/checkpoint.h"
#include "weights/infer.h"

namespace sr {
namespace {

bool holds_convolutions(const TensorGroup& group) {
  return std::any_of(group.tensors.begin(), group.tensors.end(), [](const auto& t) { return t.shape.size() == 5; });
}

std::string path_of(const TensorGroup& group) {
  return group.path.empty() ? "(top)" : group.path;
}

// The dictionary named by `key`, or the one of several whose tensors are a network.
Inference infer_from(const Checkpoint& checkpoint, const std::string& key, const std::string& where,
                     std::string& chosen_path) {
  std::vector<const TensorGroup*> groups;
  for (const TensorGroup& group : checkpoint.groups)
    if (key.empty() ? holds_convolutions(group) : group.path == key) groups.push_back(&group);
  std::vector<std::string> paths;
  for (const TensorGroup& group : checkpoint.groups) paths.push_back(path_of(group));
  if (groups.empty())
    throw WeightsError(fmt::format("{}: {}; it has tensors in {}", where,
                                   key.empty() ? "has no convolution weights" : "has no dictionary " + shown(key),
                                   shown_list(paths)));

  std::vector<Inference> networks;
  std::vector<std::string> network_paths;
  std::string reasons;
  for (const TensorGroup* group : groups) {
    try {
      networks.push_back(infer_network(*group, checkpoint.keeps_order, where));
      network_paths.push_back(path_of(*group));
    } catch (const WeightsError& e) {
      if (groups.size() == 1) throw;
      if (reasons.size() < 2000) reasons += fmt::format("\n  {}: {}", shown(path_of(*group)), e.what());
    }
  }
  if (networks.empty())
    throw WeightsError(
        fmt::format("{}: none of its {} dictionaries is a network that is known:{}", where, groups.size(), reasons));
  if (networks.size() > 1)
    throw WeightsError(fmt::format("{}: several of its dictionaries are networks: {}; choose one with --key", where,
                                   shown_list(network_paths)));
  chosen_path = network_paths[0];
  return std::move(networks[0]);
}

std::vector<std::string> table_of(const std::vector<Match>& matches) {
  size_t name_width = 0, shape_width = 0;
  for (const Match& m : matches) {
    name_width = std::max(name_width, m.from.size());
    shape_width = std::max(shape_width, m.shape.size());
  }
  std::vector<std::string> lines;
  for (const Match& m : matches)
    lines.push_back(fmt::format("{:<{}}  {:<{}}  {}{}", printable(m.from), name_width, m.shape, shape_width, m.to,
                                m.folded ? " (folded)" : ""));
  return lines;
}

// A weights file of ours: its metadata says what tensors cannot. A new checksum must not vouch for damage that the old
// one tells, so the file is loaded as for use.
void keep_metadata(const std::filesystem::path& path, Inference& network, Weights& weights) {
  const Weights loaded = load_weights(path);
  weights.normalization = loaded.normalization;
  weights.provenance = loaded.provenance;
  network.model = loaded.model;
  network.notes = {"the file's own metadata describes the network"};
}

void apply(const ImportOptions& options, bool channels_last, Weights& weights, std::vector<std::string>& choices) {
  ModelDescription& model = weights.model;
  const auto say = [&](const char* what, const std::string& value, bool given, const char* option) {
    choices.push_back(
        fmt::format("{:<14}{}{}", what, value, given ? "" : fmt::format("  (not given; {} sets it)", option)));
  };
  if (options.normalization) weights.normalization = *options.normalization;
  if (options.input) model.input = *options.input;
  if (options.residual) model.residual = *options.residual;
  if (!model.has_norms() && (options.batch_norm || options.norm_eps))
    throw WeightsError(fmt::format("{} has no batch-norm; leave out --batch-norm and --eps", model.name()));
  if (options.batch_norm) model.batch_norm = *options.batch_norm;
  if (options.norm_eps)
    model.norm_eps = *options.norm_eps;
  else if (channels_last && model.has_norms())
    model.norm_eps = 1e-3;
  say("normalization", to_string(weights.normalization), options.normalization.has_value(), "--normalization");
  say("input", to_string(model.input), options.input.has_value(), "--input");
  say("residual", model.residual ? "yes" : "no", options.residual.has_value(), "--residual");
  if (!model.has_norms()) return;
  say("batch-norm", to_string(model.batch_norm), options.batch_norm.has_value(), "--batch-norm");
  say("eps", fmt::format("{}", model.norm_eps), options.norm_eps.has_value(), "--eps");
}

}  // namespace

nlohmann::json parse_provenance(const std::string& given) {
  if (given.starts_with('{')) return parse_json_object(given, "provenance");
  std::error_code error;
  if (given.size() < 4096 && std::filesystem::is_regular_file(given, error)) {
    const std::vector<uint8_t> bytes = read_file(given);
    return parse_json_object({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, given);
  }
  if (given.ends_with(".json"))
    throw WeightsError(fmt::format("provenance {} is no file that is there; a note in plain text does not end in .json",
                                   shown(given)));
  return {{"note", given}};
}

ImportResult import_checkpoint(const std::filesystem::path& path, const ImportOptions& options) {
  const std::string where = path.string();
  if (options.norm_eps && !(*options.norm_eps > 0 && *options.norm_eps <= 1))
    throw WeightsError(fmt::format("eps is {}; it must be above 0 and at most 1", *options.norm_eps));
  const Checkpoint checkpoint = read_checkpoint(path);
  std::string group_path;
  Inference network = infer_from(checkpoint, options.key, where, group_path);

  ImportResult result;
  Weights& weights = result.weights;
  if (checkpoint.metadata.contains("srengine.format")) keep_metadata(path, network, weights);
  weights.model = network.model;
  weights.tensors = std::move(network.tensors);
  if (options.provenance) weights.provenance = *options.provenance;
  weights.provenance["imported_from"] = {{"file", path.filename().string()}, {"sha256", checkpoint.sha256}};
  weights.sha256.clear();
  apply(options, network.channels_last, weights, result.choices);
  check_against_schema(weights, where);

  result.explanation.push_back(
      fmt::format("{}, {} tensors under {}", checkpoint.format, network.matches.size(), printable(group_path)));
  for (const std::string& line : table_of(network.matches)) result.explanation.push_back(line);
  for (const std::string& note : network.notes) result.explanation.push_back(note);
  return result;
}

}  // namespace sr
