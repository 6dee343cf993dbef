#include <fmt/format.h>
#include <fmt/ranges.h>

#include <iterator>

#include "weights/architecture.h"
#include "weights/printable.h"
#include "weights/weights_file.h"

namespace sr {
namespace {

std::string yes_no(bool b) {
  return b ? "yes" : "no";
}

// "blocks.0.units.1.norm.running_var" -> "blocks.0.units.1.norm"
std::string layer_of(const std::string& tensor) {
  return tensor.substr(0, tensor.rfind('.'));
}

// 1234567 -> "1,234,567"
std::string grouped(int64_t n) {
  std::string text = std::to_string(n);
  for (auto at = static_cast<ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) text.insert(static_cast<size_t>(at), ",");
  return text;
}

struct LayerRow {
  std::string name, shape;
  int64_t parameters = 0, multiply_adds = 0;
};

// One row a layer, in the order of the forward pass; running statistics are no parameters.
std::vector<LayerRow> layers_of(const Weights& weights) {
  std::vector<LayerRow> rows;
  for (const TensorSpec& spec : tensor_table(weights.model)) {
    if (!weights.find(spec.name)) continue;
    if (rows.empty() || rows.back().name != layer_of(spec.name)) rows.push_back({layer_of(spec.name), "", 0, 0});
    LayerRow& row = rows.back();
    if (row.shape.empty()) row.shape = fmt::format("{}", fmt::join(spec.shape, "x"));
    if (!is_parameter(spec.role)) continue;
    row.parameters += element_count(spec.shape);
    if (spec.role == TensorRole::conv_weight) row.multiply_adds += element_count(spec.shape);
  }
  return rows;
}

}  // namespace

std::string architecture_text(const ModelDescription& m) {
  return m.architecture->text(m);
}

std::string describe(const Weights& weights, const std::filesystem::path& path) {
  const ModelDescription& m = weights.model;
  fmt::memory_buffer text;
  const auto line = [&](const char* key, const std::string& value) {
    fmt::format_to(std::back_inserter(text), "{:<16}{}\n", key, value);
  };
  line("file", path.string());
  line("model", architecture_text(m));
  for (const auto& [key, value] : m.architecture->further_lines(m)) line(key.c_str(), value);
  line("residual", yes_no(m.residual));
  line("input", to_string(m.input) + " interpolation to the output grid");
  line("normalization", to_string(weights.normalization));
  if (m.has_norms())
    line("batch-norm", fmt::format("{} by default, eps {}, running statistics: {}", to_string(m.batch_norm), m.norm_eps,
                                   yes_no(weights.has_running_statistics())));
  line("precision", weights.half_precision ? "F16 convolutions, F32 otherwise" : "F32");

  fmt::format_to(std::back_inserter(text), "\n{:<36}{:>18}{:>12}{:>16}\n", "layer", "shape", "parameters",
                 "multiply-adds");
  int64_t parameters = 0, multiply_adds = 0;
  for (const LayerRow& row : layers_of(weights)) {
    fmt::format_to(std::back_inserter(text), "{:<36}{:>18}{:>12}{:>16}\n", row.name, row.shape, grouped(row.parameters),
                   row.multiply_adds ? grouped(row.multiply_adds) : "");
    parameters += row.parameters;
    multiply_adds += row.multiply_adds;
  }
  fmt::format_to(std::back_inserter(text), "{:<36}{:>18}{:>12}{:>16}  per voxel\n\n", "total", "", grouped(parameters),
                 grouped(multiply_adds));

  if (weights.provenance.empty()) line("provenance", "none given");
  for (const auto& [key, value] : weights.provenance.items())
    line(printable(key).c_str(),
         fmt::format(" {}", printable(value.is_string() ? value.get<std::string>() : value.dump())));
  line("sha256", weights.sha256.empty() ? "none (not read from a file)" : weights.sha256 + " (fits the tensors)");
  return fmt::to_string(text);
}

}  // namespace sr
