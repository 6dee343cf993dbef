#include "engine/training/validate.h"

#include <fmt/core.h>

#include <utility>

#include "engine/base/status.h"
#include "engine/images/metrics.h"

namespace sr::train {
namespace {

constexpr int kAxisK = 2;

Score score_of(const ScanPair& scan, const Volume& test, Intensity intensity) {
  const Metrics metrics = compare(scan.high, test, kAxisK);
  double sum = 0;
  for (size_t i = 0; i < test.data.size(); ++i) {
    const double difference = (static_cast<double>(test.data[i]) - scan.high.data[i]) / intensity.b;
    sum += difference * difference;
  }
  return {metrics.psnr, metrics.ssim, sum / static_cast<double>(test.data.size())};
}

void add(Score& sum, const Score& score, double share) {
  sum.psnr += share * score.psnr;
  sum.ssim += share * score.ssim;
  sum.mse += share * score.mse;
}

}  // namespace

Validation Validator::operator()(const Weights& weights, const Progress& progress) {
  Validation validation;
  Restorer restorer(weights, options_);
  for (size_t i = 0; i < scans_.count; ++i) {
    std::string name = fmt::format("validation scan {}", i + 1);  // until it has been read
    try {
      const ScanPair scan = scans_.scan(i);
      name = scan.name;
      Intensity intensity;
      const Volume restored = restorer.restore(scan.low, progress, &intensity);
      if (!inputs_[i]) inputs_[i] = score_of(scan, scan.low, intensity);
      validation.scans.push_back({name, score_of(scan, restored, intensity), *inputs_[i]});
    } catch (const Error& e) {
      if (e.status != Status::bad_input) throw;  // an interruption, memory: not this scan's fault
      validation.skipped.push_back({name, e.what()});
    }
  }
  const double share = 1 / static_cast<double>(validation.scans.size());
  for (const ScanScore& scan : validation.scans) {
    add(validation.result, scan.result, share);
    add(validation.input, scan.input, share);
  }
  return validation;
}

}  // namespace sr::train
