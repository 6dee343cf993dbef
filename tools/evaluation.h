// What `srengine evaluate` measures, and how it is written: table, CSV, JSON, HTML.
#pragma once

#include <fmt/core.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/images/metrics.h"
#include "engine/images/overlap.h"
#include "engine/images/seams.h"
#include "engine/nifti/nifti.h"

namespace sr {

// One image and what it is measured against; empty names are not wanted.
struct Comparison {
  std::filesystem::path reference, test, mask, reference_labels, test_labels;
};

struct Evaluation {
  Comparison files;
  std::vector<Metrics> volumes;          // of each volume of a 4D file
  double psnr = 0, ssim = 0, nrmse = 0;  // averages over the volumes
  std::vector<LabelOverlap> overlaps;    // of the first volume of the label files
  std::optional<Seams> seams;            // of the first volume
  double mean_dice() const, mean_jaccard() const;
};

struct EvaluationOptions {
  int plane = 2;              // slices are perpendicular to this axis
  std::optional<int> stride;  // voxels between patch borders, where seams are wanted
};

// Volume t of a scan that is measured or measured against. Throws Error{bad_input} where a voxel is not finite.
Volume read_finite(ScanReader& reader, int64_t t);

// The error of what is measured says what is wrong; here it is told in which file. An interruption is nobody's error.
template <class F>
auto naming(const std::string& file, F measure) {
  try {
    return measure();
  } catch (const Error& e) {
    if (e.status == Status::interrupted) throw;
    throw Error(e.status, fmt::format("{}: {}", file, e.what()));
  }
}

// Throws Error{bad_input} with one sentence where grids or affines differ, a voxel is not finite, or a file cannot be
// read.
Evaluation evaluate(const Comparison& files, const EvaluationOptions& options);

// Over subjects: mean and standard deviation (n - 1).
struct MeanSd {
  double mean = 0, sd = 0;
};
MeanSd mean_sd(const std::vector<double>& values);

// Subjects: whether each test has a reference of its own, so that a mean over them means something.
std::string text_table(const std::vector<Evaluation>& evaluations, int plane, bool subjects);
std::string html_table(const std::vector<Evaluation>& evaluations, bool subjects);
std::string csv_table(const std::vector<Evaluation>& evaluations);
nlohmann::json evaluation_json(const std::vector<Evaluation>& evaluations, int plane, bool subjects);

}  // namespace sr
