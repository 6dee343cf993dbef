// Checkpoints of other programs into weights files: `srengine import`.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "weights/weights_file.h"

namespace sr {

// What tensors cannot say. What is not given keeps the checkpoint's own metadata, if it has any, or the default.
struct ImportOptions {
  std::optional<Normalization> normalization;
  std::optional<Interpolation> input;  // linear | sinc
  std::optional<bool> residual;
  std::optional<BatchNorm> batch_norm;
  std::optional<double> norm_eps;            // 1e-5; 1e-3 for TensorFlow's layout
  std::optional<nlohmann::json> provenance;  // an object
  std::string key;                           // which dictionary of several: "state_dict", "model.generator"
};

struct ImportResult {
  Weights weights;
  std::vector<std::string> choices;      // lines: what was chosen, or assumed, beyond the shapes
  std::vector<std::string> explanation;  // lines: which tensor became which, what was folded
};

// What a user says of a checkpoint's origin: a JSON object, the name of a file with one, or plain text, which becomes a
// note. A name that ends in .json is taken for a file's. Throws WeightsError.
nlohmann::json parse_provenance(const std::string& given);

// A weights file of our own is checked like any that is loaded. Throws WeightsError; tensors that are left over,
// missing or ambiguous are listed.
ImportResult import_checkpoint(const std::filesystem::path& path, const ImportOptions& options = {});

}  // namespace sr
