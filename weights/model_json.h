// The model description and the normalization rule as the JSON objects of a weights file's metadata.
//
//   srengine.model          {"architecture": "mdcsrn", "blocks": 4, "units": 4, "growth": 12, "bottleneck": "auto",
//                            "trunk": "with-inputs", "reconstruction": false, "residual": true, "input": "linear",
//                            "norm_eps": 1e-5, "batch_norm": "patch", "activation": "elu"}
//                          {"architecture": "fsrcnn", "features": 56, "shrink": 12, "mapping_layers": 4,
//                            "residual": true, "input": "sinc", "activation": "prelu"}
//                          {"architecture": "srresnet", "blocks": 16, "features": 64, "residual": true,
//                            "input": "sinc", "norm_eps": 1e-5, "batch_norm": "patch", "activation": "prelu"}
//                          {"architecture": "srdensenet", "blocks": 8, "units": 4, "growth": 12, "residual": true,
//                            "input": "sinc", "activation": "elu"}
//   srengine.normalization  {"kind": "none" | "zscore" | "foreground"} or {"kind": "scale" | "percentile", "by":
//   number}
//
// Every key must be there and no other may be: a key that is not understood could change what the network computes.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "weights/schema.h"

namespace sr {

nlohmann::json to_json(const ModelDescription& model);
nlohmann::json to_json(const Normalization& rule);

// Throw WeightsError, starting with `where`, unless every field has its type and lies in its range.
ModelDescription model_from_json(const nlohmann::json& fields, const std::string& where);
Normalization normalization_from_json(const nlohmann::json& fields, const std::string& where);

}  // namespace sr
