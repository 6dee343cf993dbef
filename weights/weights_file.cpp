#include "weights/weights_file.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

#include "weights/architecture.h"
#include "weights/bounded_json.h"
#include "weights/model_json.h"
#include "weights/safetensors.h"

namespace sr {
namespace {

constexpr const char* kFormatVersion = "1";

std::string shape_text(const std::vector<int64_t>& shape) {
  return fmt::format("({})", fmt::join(shape, ", "));
}

// What is wrong with a set of shapes as tensors of the model, for one sentence: missing, unknown, misshapen.
template <class Shapes, class ShapeOf>
void check_shapes(const ModelDescription& model, const Shapes& shapes, ShapeOf shape_of, const std::string& where) {
  // Before the table: a small file must not get a table of a network of thousands of layers built.
  const size_t n_convs = static_cast<size_t>(model.architecture->least_convs(model));
  if (shapes.size() < n_convs)
    throw WeightsError(fmt::format("{}: its model {} has more than {} tensors; the file has {}", where, model.name(),
                                   n_convs, shapes.size()));
  std::vector<std::string> missing, misshapen;
  std::map<std::string, bool> known;
  for (const TensorSpec& spec : tensor_table(model)) {
    known[spec.name] = true;
    const auto found = shapes.find(spec.name);
    if (found == shapes.end()) {
      if (!spec.optional) missing.push_back(spec.name);
    } else if (shape_of(found->second) != spec.shape) {
      misshapen.push_back(
          fmt::format("{} {} instead of {}", spec.name, shape_text(shape_of(found->second)), shape_text(spec.shape)));
    }
    // Table order: the mean comes just before the variance.
    if (spec.role == TensorRole::running_var) {
      const std::string mean = spec.name.substr(0, spec.name.size() - 3) + "mean";
      if (shapes.contains(mean) != shapes.contains(spec.name))
        missing.push_back(shapes.contains(mean) ? spec.name : mean);
    }
  }
  std::vector<std::string> unknown;
  for (const auto& [name, value] : shapes)
    if (!known.contains(name)) unknown.push_back(name);

  std::vector<std::string> wrong;
  if (!missing.empty()) wrong.push_back("missing " + shown_list(missing));
  if (!unknown.empty()) wrong.push_back("unknown " + shown_list(unknown));
  if (!misshapen.empty()) wrong.push_back("wrong shape " + shown_list(misshapen));
  if (!wrong.empty())
    throw WeightsError(
        fmt::format("{}: its tensors are not those of its model {}: {}", where, model.name(), fmt::join(wrong, "; ")));
}

void check_numbers(const Weights& weights, const std::string& where) {
  for (const auto& [name, tensor] : weights.tensors) {
    const bool variance = name.ends_with(".running_var");
    for (size_t i = 0; i < tensor.data.size(); ++i) {
      if (std::isfinite(tensor.data[i]) && !(variance && tensor.data[i] < 0)) continue;
      throw WeightsError(fmt::format("{}: tensor {} holds {} at element {}; {}", where, shown(name), tensor.data[i], i,
                                     variance ? "a variance is finite and not negative" : "weights must be finite"));
    }
  }
}

const std::string& field(const std::map<std::string, std::string>& metadata, const char* key,
                         const std::string& where) {
  const auto found = metadata.find(key);
  if (found == metadata.end()) throw WeightsError(fmt::format("{}: its metadata lacks {}", where, key));
  return found->second;
}

}  // namespace

const Tensor* Weights::find(const std::string& name) const {
  const auto found = tensors.find(name);
  return found == tensors.end() ? nullptr : &found->second;
}

bool Weights::has_running_statistics() const {
  const std::vector<TensorSpec> table = tensor_table(model);
  return std::ranges::all_of(
      table, [this](const TensorSpec& spec) { return spec.role != TensorRole::running_var || find(spec.name); });
}

void check_against_schema(const Weights& weights, const std::string& where) {
  check_shapes(
      weights.model, weights.tensors, [](const Tensor& t) -> const auto& { return t.shape; }, where);
  for (const auto& [name, tensor] : weights.tensors)
    if (tensor.data.size() != static_cast<size_t>(element_count(tensor.shape)))
      throw WeightsError(fmt::format("{}: tensor {} has {} numbers for its shape {}", where, shown(name),
                                     tensor.data.size(), shape_text(tensor.shape)));
  check_numbers(weights, where);
}

void parse_weights_metadata(const std::map<std::string, std::string>& metadata, const std::string& where,
                            Weights& weights) {
  if (!metadata.contains("srengine.format"))
    throw WeightsError(fmt::format(
        "{}: is a safetensors file, but not a weights file of srengine; `srengine import` makes one of it", where));
  if (const std::string& version = metadata.at("srengine.format"); version != kFormatVersion)
    throw WeightsError(fmt::format("{}: is a weights file of format {}; this program reads format {}", where,
                                   shown(version), kFormatVersion));
  const auto object = [&](const char* key) {
    return parse_json_object(field(metadata, key, where), fmt::format("{}: {}", where, key));
  };
  weights.model = model_from_json(object("srengine.model"), where + ": srengine.model");
  weights.normalization = normalization_from_json(object("srengine.normalization"), where + ": srengine.normalization");
  weights.provenance = object("srengine.provenance");
  weights.sha256 = field(metadata, "srengine.sha256", where);
}

Weights load_weights(const std::filesystem::path& path) {
  const std::string where = path.string();
  const std::vector<uint8_t> bytes = read_file(path);
  const Safetensors file = parse_safetensors(bytes, where);

  Weights weights;
  parse_weights_metadata(file.metadata, where, weights);
  if (const std::string sum = sha256_hex(file.data); sum != weights.sha256)
    throw WeightsError(
        fmt::format("{}: its checksum does not fit its tensors; the file is damaged, get it again", where));

  std::map<std::string, const SafetensorsEntry*> entries;
  for (const SafetensorsEntry& entry : file.tensors) {
    if (entry.type != ElementType::f32 && entry.type != ElementType::f16)
      throw WeightsError(fmt::format("{}: tensor {} is neither F32 nor F16", where, shown(entry.name)));
    const auto position = static_cast<size_t>(file.bytes_of(entry).data() - bytes.data());
    if (position % element_size(entry.type) != 0)
      throw WeightsError(fmt::format("{}: tensor {} is not aligned to its elements", where, shown(entry.name)));
    entries[entry.name] = &entry;
  }
  check_shapes(
      weights.model, entries, [](const SafetensorsEntry* e) -> const auto& { return e->shape; }, where);

  for (const SafetensorsEntry& entry : file.tensors) {
    weights.tensors[entry.name] = {entry.shape, to_float32(file.bytes_of(entry), entry.type)};
    weights.half_precision |= entry.type == ElementType::f16;
  }
  check_numbers(weights, where);
  return weights;
}

namespace {

void append_tensor(const TensorSpec& spec, const Tensor& tensor, ElementType type, std::vector<uint8_t>& data,
                   std::vector<SafetensorsEntry>& entries, const std::string& where) {
  const size_t begin = data.size();
  data.resize(begin + tensor.data.size() * element_size(type));
  if (type == ElementType::f32) {
    std::copy_n(reinterpret_cast<const uint8_t*>(tensor.data.data()), data.size() - begin, data.begin() + begin);
  } else {
    for (size_t i = 0; i < tensor.data.size(); ++i) {
      const uint16_t half = float_to_half(tensor.data[i]);
      if (std::isinf(half_to_float(half)))
        throw WeightsError(fmt::format("{}: tensor {} holds {}, which half precision cannot; write it without --half",
                                       where, shown(spec.name), tensor.data[i]));
      data[begin + 2 * i] = static_cast<uint8_t>(half & 0xff);
      data[begin + 2 * i + 1] = static_cast<uint8_t>(half >> 8);
    }
  }
  entries.push_back({spec.name, type, tensor.shape, begin, data.size()});
}

}  // namespace

void save_weights(const std::filesystem::path& path, Weights& weights, bool half_precision) {
  const std::string where = path.string();
  check_against_schema(weights, where);

  std::vector<uint8_t> data;
  std::vector<SafetensorsEntry> entries;
  // All F32 before all F16: a tensor with an odd number of halves would put what follows off its alignment.
  for (const ElementType type : {ElementType::f32, ElementType::f16})
    for (const TensorSpec& spec : tensor_table(weights.model)) {
      const bool half = half_precision && spec.role == TensorRole::conv_weight;
      const Tensor* tensor = weights.find(spec.name);
      if (tensor && half == (type == ElementType::f16)) append_tensor(spec, *tensor, type, data, entries, where);
    }

  weights.sha256 = sha256_hex(data);
  weights.half_precision = half_precision;
  const std::string header = safetensors_header(
      {{"srengine.format", kFormatVersion},
       {"srengine.model", to_json(weights.model).dump()},
       {"srengine.normalization", to_json(weights.normalization).dump()},
       {"srengine.provenance", weights.provenance.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)},
       {"srengine.sha256", weights.sha256}},
      entries);
  const Bytes parts[] = {{reinterpret_cast<const uint8_t*>(header.data()), header.size()}, data};
  write_file_whole(path, parts);
}

}  // namespace sr
