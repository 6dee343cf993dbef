// Whether a scan is of the kind that the weights were trained on.
#pragma once

#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/nifti/nifti.h"

namespace sr {

// What a weights file's provenance says under "domain". What it does not say is not checked.
//   "modality":   "T1w"         as BIDS writes it
//   "voxel_mm":   [low, high]   edges of a voxel of the output grid
//   "foreground": [low, high]   share of voxels above the mean: a head fills so much of its field of view
//   "peak":       [low, high]   99.8th percentile over the mean of those voxels
struct Domain {
  std::string modality;
  std::optional<std::array<double, 2>> voxel_mm, foreground, peak;
};

// Nothing where the provenance has no domain, or one that makes no sense.
std::optional<Domain> domain_of(const nlohmann::json& provenance);

// The modality that a BIDS name ends in ("sub-01_T2w.nii.gz": "T2w"); empty where it ends in none that is known.
std::string modality_of(const ScanName& scan);

// One sentence naming everything in which the scan differs, empty where nothing does. volume: on the output grid, whose
// voxels have these edges in mm; name: of the scan.
std::string outside_domain(const Domain& domain, const Volume& volume, const std::array<double, 3>& voxel_mm,
                           const ScanName& name);

}  // namespace sr
