#include "tools/run_report.h"

#include <cmath>

namespace sr {
namespace {

nlohmann::json voxels(Size3 s) {
  return {s.w, s.h, s.d};
}  // NIfTI order

double milliseconds(double seconds) {
  return std::round(seconds * 1e3) / 1e3;
}

const char* name(ConvAlgorithm a) {
  return a == ConvAlgorithm::direct ? "direct" : a == ConvAlgorithm::winograd2 ? "winograd2" : "winograd4";
}

}  // namespace

nlohmann::json batch_norm_json(const Restorer& restorer) {
  if (!restorer.network().model.has_norms()) return nullptr;
  return to_string(restorer.batch_norm());
}

nlohmann::json scan_report(const RestoreReport& r) {
  nlohmann::json intensities = nlohmann::json::array();
  for (const Intensity& i : r.intensities) intensities.push_back({{"a", i.a}, {"b", i.b}});
  return {{"input", r.input.string()},
          {"output", r.output.string()},
          {"input_size", voxels(r.input_size)},
          {"output_size", voxels(r.output_size)},
          {"volumes", r.n_volumes},
          {"patches_per_volume", r.n_patches},
          {"intensity", intensities},
          {"nonfinite_voxels", r.n_nonfinite},
          {"data_consistency", r.consistency_weight ? nlohmann::json(*r.consistency_weight) : nlohmann::json()},
          {"seconds",
           {{"read", milliseconds(r.seconds.read)},
            {"upsample", milliseconds(r.seconds.upsample)},
            {"restore", milliseconds(r.seconds.restore)},
            {"consistency", milliseconds(r.seconds.consistency)},
            {"write", milliseconds(r.seconds.write)}}},
          {"warnings", r.warnings}};
}

nlohmann::json run_report(const std::filesystem::path& weights_path, const Weights& weights,
                          const RestoreOptions& options, const Restorer& restorer) {
  nlohmann::json json = {{"program", "srengine"},
                         {"version", SRENGINE_VERSION},
                         {"backend", restorer.backend().describe()},
                         {"weights",
                          {{"file", weights_path.string()},
                           {"model", weights.model.name()},
                           {"sha256", weights.sha256},
                           {"normalization", to_string(weights.normalization)}}},
                         {"options",
                          {{"patch", voxels(options.backend.patch)},
                           {"margin", options.margin},
                           {"pad", options.pad == Pad::zero ? "zero" : "reflect"},
                           {"batch_norm", batch_norm_json(restorer)},
                           {"flips", options.flips},
                           {"conv", name(options.backend.conv)},
                           {"precision", cuda::to_string(options.backend.precision)},
                           {"dtype", options.type == OutputType::float32 ? "float32" : "input"},
                           {"threads", restorer.backend().threads()},
                           {"batch", restorer.backend().batch()},
                           {"buffer_bytes", restorer.backend().buffer_bytes()}}}};
  if (options.upsample) {
    json["options"]["upsample"] = *options.upsample;
    json["options"]["upsample_method"] = to_string(restorer.network().model.input);
  }
  return json;
}

}  // namespace sr
