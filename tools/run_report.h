// The JSON sidecar of `srengine run`: what was done to a scan, with what, and how long it took (docs/cli.md).
#pragma once

#include <nlohmann/json.hpp>

#include "engine/scan_queue.h"

namespace sr {

// One entry of the sidecar's "scans".
nlohmann::json scan_report(const RestoreReport& report);

// Everything that holds for all scans of a call: program, weights, options, backend.
nlohmann::json run_report(const std::filesystem::path& weights_path, const Weights& weights,
                          const RestoreOptions& options, const Restorer& restorer);

// How batch-norm is done, or null of a network without.
nlohmann::json batch_norm_json(const Restorer& restorer);

}  // namespace sr
