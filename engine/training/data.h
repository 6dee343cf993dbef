// Where a run's batches and its validation scans come from. The seam between the trainer and the reading of scans:
// data.cpp fills it from dataset.h, tests with numbers of their own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/images/kspace.h"
#include "engine/training/batch.h"
#include "engine/training/collective.h"
#include "engine/training/validate.h"
#include "weights/schema.h"

namespace sr::train {

struct DataOptions {
  std::filesystem::path folder;
  std::string validation = "0.1", test;     // a share of the subjects, or a file that lists them
  std::vector<Factors> factors{{2, 2, 1}};  // by which k-space is cut; of several, each patch draws one
  int patches_per_subject = 18;
  std::map<std::string, int> favour;  // so many times as many of a scan, by file name, with or without its ending
  uint64_t seed = 1;
  bool flips = true;
  bool axes = false;  // any axis of a scan may be i, j or k of a patch, and be cut as `factors` says
  double noise = 0, blur = 0, intensity = 0;  // strengths of the augmentations; 0: without
  int64_t max_memory = 0;                     // bytes of scans in memory; 0: no limit but the machine's
  int loading_threads = 1;
  // Of the network and the run:
  int batch = 6, patch = 40;
  Interpolation input = Interpolation::linear;
  Normalization normalization;
};

struct Data {
  std::function<Batch(int64_t step)> batch;
  ScanList validation;
  nlohmann::json split = nlohmann::json::object();   // {"train": [names], "validation": [...], "test": [...]}
  nlohmann::json skipped = nlohmann::json::array();  // [{"path": ..., "reason": ...}]
};

// Reads what there is in the folder. `collective` outlives the result. Throws Error{bad_input} where no scan can be
// used.
Data make_data(const DataOptions& options, Collective& collective);

}  // namespace sr::train
