// The model description and the normalization rule as the JSON objects of a weights file's metadata.
//
//   srengine.model          {"architecture": "mdcsrn", "blocks": 4, "units": 4, "growth": 12, "bottleneck": "auto",
//                            "trunk": "with-inputs", "reconstruction": false, "residual": true, "input": "linear",
//                            "norm_eps": 1e-5, "batch_norm": "patch", "activation": "elu"}
//                          what every network has (architecture, residual, input, activation), norm_eps and batch_norm
//                          of those with batch-norm, and the architecture's own settings: its file in
//                          weights/architectures/ has an example
//   srengine.normalization  {"kind": "none" | "zscore" | "foreground"} or {"kind": "scale" | "percentile",
//                          "by": number}
//
// Every key must be there and no other may be: a key that is not understood could change what the network computes.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "weights/normalization.h"
#include "weights/schema.h"

namespace sr {

nlohmann::json to_json(const ModelDescription& model);
nlohmann::json to_json(const Normalization& rule);

// Throw WeightsError, starting with `where`, unless every field has its type and lies in its range.
ModelDescription model_from_json(const nlohmann::json& fields, const std::string& where);
Normalization normalization_from_json(const nlohmann::json& fields, const std::string& where);

}  // namespace sr
