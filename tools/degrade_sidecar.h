// What `srengine degrade` writes beside an image, so that later commands know what was lost: scan.json beside
// scan.nii.gz, as BIDS has it.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "engine/pipeline.h"
#include "tools/results.h"
#include "weights/schema.h"

namespace sr {

enum class Grid { input, native };  // the N-grid again, or the M-grid

struct Degradation {
  Factors factors{1, 1, 1};
  Grid grid = Grid::input;
  Interpolation way_back = Interpolation::linear;  // of Grid::input: how the N-grid was filled
  double noise = 0;                                // sd of the Rician noise, in the scan's units
  uint64_t seed = 0;                               // of that noise

  // The slices in which metrics are taken (docs/spec.md, section 8): across the last axis that kept its resolution, or
  // k.
  int plane() const;
};

// How much of what was measured is put back where nobody says: it blends, which is the better image (docs/accuracy.md).
inline constexpr double kDefaultConsistencyWeight = 0.5;

// What `run` puts back of its own accord into a scan that was degraded like this: nothing where nothing is known for
// certain.
std::optional<Measured> surely_measured(const Degradation& d);

std::filesystem::path sidecar_name(const ScanName& scan);

// The sidecar of a scan to be made from `source`. A sidecar that is there already keeps its other keys. Throws before
// the work begins: Error{bad_usage} where it is the source's own, Error{bad_output} where it cannot be written.
class DegradationFile {
 public:
  DegradationFile(const std::filesystem::path& scan, const std::filesystem::path& source);
  void write(const Degradation& d);

 private:
  std::string source_;
  nlohmann::json kept_;
  JsonFile file_;
};

// Whether there is one of ours beside the scan, damaged or not: a file that no result may replace.
bool has_degradation(const ScanName& scan);

// Nothing where there is no sidecar, or one of another program. Throws Error{bad_input} for a damaged one of ours.
std::optional<Degradation> read_degradation(const ScanName& scan);

}  // namespace sr
