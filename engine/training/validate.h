// Whole scans through the network as it is now, against what they should be.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/volume.h"
#include "engine/pipeline.h"

namespace sr::train {

// PSNR and SSIM slice by slice along k (engine/images/metrics.h), in the units of the scan; MSE over all voxels,
// normalised as the network sees them: the mean of it is what chooses the best weights.
struct Score {
  double psnr = 0, ssim = 0, mse = 0;
};

struct ScanScore {
  std::string name;
  Score result, input;  // of the restored scan; of the interpolated one, what doing nothing gives
};

struct UnmeasuredScan {
  std::string name, reason;
};

struct Validation {
  std::vector<ScanScore> scans;
  Score result, input;                  // means over the scans; 0 where there are none
  std::vector<UnmeasuredScan> skipped;  // a scan that was fine at the start and is gone, or cannot be measured against
};

struct ScanPair {
  std::string name;
  Volume low, high;  // on one grid
};

// Scans are asked for one by one, for all of them may not fit into memory.
struct ScanList {
  size_t count = 0;
  std::function<ScanPair(size_t)> scan;
};

class Validator {
 public:
  Validator(ScanList scans, const RestoreOptions& options) : scans_(std::move(scans)), options_(options) {}
  // A scan that cannot be read or measured now is skipped, so that it does not end a training of days.
  // progress: after each patch of each scan; false ends it with Error{interrupted}.
  Validation operator()(const Weights& weights, const Progress& progress);

 private:
  ScanList scans_;
  RestoreOptions options_;
  std::vector<std::optional<Score>> inputs_ = std::vector<std::optional<Score>>(scans_.count);  // they do not change
};

}  // namespace sr::train
