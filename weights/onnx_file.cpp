#include "weights/onnx_file.h"

#include <fmt/format.h>

#include <limits>

#include "weights/architecture.h"
#include "weights/file_io.h"
#include "weights/model_json.h"
#include "weights/onnx_graph.h"

namespace sr {
namespace {

// The first version in which initialisers need not be inputs as well; nothing younger is used, so old readers do.
constexpr int kIrVersion = 4;
// protobuf counts bytes with an int.
constexpr int64_t kMostBytes = std::numeric_limits<int32_t>::max();

void check_size(int64_t bytes, const std::string& name) {
  if (bytes > kMostBytes)
    throw WeightsError(fmt::format("{} is too large for an ONNX file: {:.1f} GB, where protobuf ends at 2", name,
                                   1e-9 * double(bytes)));
}

std::string divisor_rule(const Normalization& rule) {
  switch (rule.kind) {
    case Normalization::Kind::none:
      return "a = 0, b = 1";
    case Normalization::Kind::scale:
      return fmt::format("a = 0, b = {}", rule.by);
    case Normalization::Kind::zscore:
      return "a = mean, b = standard deviation of all voxels of the scan";
    case Normalization::Kind::foreground:
      return "a = 0, b = mean of the voxels of the scan that are above its mean";
    case Normalization::Kind::percentile:
      return fmt::format("a = 0, b = percentile {} of all voxels of the scan", rule.by);
  }
  return "";
}

std::string statistics(const ModelDescription& model, const OnnxOptions& options, int radius) {
  if (model.has_norms() && options.batch_norm == BatchNorm::patch)
    return fmt::format(
        "Batch-norm takes the statistics of the patch, so the size of patches matters: {0}x{0}x{0}, of which {1} "
        "voxels at each face are not kept.",
        options.patch, options.margin);
  return fmt::format("{}here {} voxels at each face of a patch are not kept, the size of patches does not matter.",
                     model.has_norms() ? "Batch-norm takes running statistics: w" : "W", radius);
}

std::string instructions(const Weights& weights, const OnnxOptions& options, int radius) {
  return fmt::format(
      "Restores the resolution of 3D brain MRI. x: a patch of a scan on the output grid ({} interpolation), its voxels "
      "v as (v - a) / b with {}, zeros beyond the scan; axes d, h, w are NIfTI's k, j, i. y: the patch restored, as v "
      "= y b + a. {}",
      to_string(weights.model.input), divisor_rule(weights.normalization), statistics(weights.model, options, radius));
}

}  // namespace

void check_fits_onnx(const ModelDescription& model) {
  check_size(multiply_adds_per_voxel(model) * int64_t{sizeof(float)}, model.name());
}

void save_onnx(const std::filesystem::path& path, const Weights& weights, const OnnxOptions& options) {
  check_fits_onnx(weights.model);

  onnx::ModelProto model;
  model.set_ir_version(kIrVersion);
  model.set_producer_name("srengine");
  model.set_producer_version(SRENGINE_VERSION);
  onnx::OperatorSetIdProto& operators = *model.add_opset_import();
  operators.set_domain("");
  operators.set_version(options.opset);
  model.mutable_graph()->set_name(weights.model.name());

  OnnxGraph graph(weights, options.batch_norm, *model.mutable_graph());
  const GraphValue image = graph.input("x");
  GraphValue y = weights.model.architecture->graph(graph, weights.model, image);
  if (weights.model.residual) y = graph.add(image, y);
  graph.output(y, "y");

  model.set_doc_string(instructions(weights, options, y.radius));
  const auto metadata = [&model](const char* key, const std::string& value) {
    onnx::StringStringEntryProto& entry = *model.add_metadata_props();
    entry.set_key(key);
    entry.set_value(value);
  };
  metadata("srengine.model", to_json(weights.model).dump());
  metadata("srengine.normalization", to_json(weights.normalization).dump());
  metadata("srengine.provenance", weights.provenance.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  if (!weights.sha256.empty()) metadata("srengine.sha256", weights.sha256);
  if (weights.model.has_norms()) metadata("srengine.batch_norm", to_string(options.batch_norm));
  metadata("srengine.patch", std::to_string(options.patch));
  metadata("srengine.margin", std::to_string(options.margin));
  metadata("srengine.receptive_radius", std::to_string(y.radius));

  const size_t size = model.ByteSizeLong();
  check_size(static_cast<int64_t>(size), path.string());
  std::vector<uint8_t> bytes(size);
  model.SerializeWithCachedSizesToArray(bytes.data());
  write_file_whole(path, bytes);
}

}  // namespace sr
