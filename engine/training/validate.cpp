#include "engine/training/validate.h"

#include <utility>

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
  const double share = 1 / static_cast<double>(scans_.count);
  for (size_t i = 0; i < scans_.count; ++i) {
    const ScanPair scan = scans_.scan(i);
    Intensity intensity;
    const Volume restored = restorer.restore(scan.low, progress, &intensity);
    if (inputs_.size() == i) inputs_.push_back(score_of(scan, scan.low, intensity));
    validation.scans.push_back({scan.name, score_of(scan, restored, intensity), inputs_[i]});
    add(validation.result, validation.scans.back().result, share);
    add(validation.input, inputs_[i], share);
  }
  return validation;
}

}  // namespace sr::train
