// What `srengine degrade` writes beside an image, so that later commands know what was lost: scan.json beside
// scan.nii.gz, as BIDS has it.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "engine/kspace.h"
#include "weights/schema.h"

namespace sr {

enum class Grid { input, native };  // the N-grid again, or the M-grid

struct Degradation {
  Factors factors{1, 1, 1};
  Grid grid = Grid::input;
  Interpolation way_back = Interpolation::linear;  // of Grid::input: how the N-grid was filled

  // The slices in which metrics are taken (docs/spec.md, section 8): across the last axis that kept its resolution, or
  // k.
  int plane() const;
};

std::filesystem::path sidecar_name(const std::filesystem::path& scan);
void write_degradation(const std::filesystem::path& scan, const std::filesystem::path& source, const Degradation& d);

// Nothing where there is no sidecar, or one of another program. Throws Error{bad_input} for a damaged one of ours.
std::optional<Degradation> read_degradation(const std::filesystem::path& scan);

}  // namespace sr
