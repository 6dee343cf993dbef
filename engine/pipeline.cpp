#include "engine/pipeline.h"

#include <utility>

#include "engine/base/timed.h"
#include "engine/images/intensity.h"
#include "engine/images/resample.h"

namespace sr {
namespace {

BatchNorm choose_batch_norm(const RestoreOptions& options, const Weights& weights) {
  if (!weights.model.has_norms()) return BatchNorm::patch;  // nobody asks, and one pass does
  const BatchNorm chosen = options.batch_norm.value_or(weights.model.batch_norm);
  if (chosen == BatchNorm::running && !weights.has_running_statistics())
    throw Error(Status::bad_usage,
                "these weights hold no running batch-norm statistics; --batch-norm patch or scan does without them");
  return chosen;
}

}  // namespace

Restorer::Restorer(const Weights& weights, const RestoreOptions& options)
    : options_(options),
      normalization_(weights.normalization),
      domain_(domain_of(weights.provenance)),
      network_(make_network(weights)),
      batch_norm_(choose_batch_norm(options, weights)) {
  make_patch_grid({1, 1, 1}, options.backend.patch, options.margin);  // refuses what cannot be
  backend_ = make_backend(*network_, options.backend);
  said_why_not_gpu_ = backend_->why_not_gpu;
}

RestoredVolume Restorer::restore_volume(Volume scan, const std::optional<Measured>& measured, const Progress& progress,
                                        StageTimes& seconds) {
  RestoredVolume restored;
  Volume& input = restored.input = std::move(scan);
  std::optional<DataConsistency> consistency;
  if (measured) consistency.emplace(timed(seconds.consistency, [&] { return consistency_of(input, *measured); }));
  if (options_.upsample) {
    const Size3 grid = high_grid(input.size, *options_.upsample);
    input = timed(seconds.upsample, [&] { return upsample(input, grid, network_->model.input); });
  }
  restored.result = mean_and_sd(options_.flips, [&](int which) {
    const Progress of_volume = [&](int done, int total) {
      return !progress || progress(which * total + done, options_.flips * total);
    };
    Volume once = timed(seconds.restore, [&] {
      if (which == 0) return restore(input, of_volume, &restored.intensity);
      return flip(restore(flip(input, which), of_volume), which);
    });
    if (consistency) timed(seconds.consistency, [&] { consistency->apply(once); });
    return once;
  });
  return restored;
}

std::string Restorer::why_gpu_was_left() {
  if (backend_->why_not_gpu == said_why_not_gpu_) return {};
  return said_why_not_gpu_ = backend_->why_not_gpu;
}

DataConsistency Restorer::consistency_of(const Volume& scan, const Measured& measured) const {
  if (options_.upsample) {
    const Size3 grid = high_grid(scan.size, *options_.upsample);
    return {measured_part(scan, grid, scan.size), scan.size, measured.weight};
  }
  const Size3 low = low_grid(scan.size, measured.factors);
  if (measured.way_back == Interpolation::linear)
    return {measured_part(undo_linear(scan, low), scan.size, low), low, measured.weight};
  return {measured_part(scan, scan.size, low), low, measured.weight};
}

Volume Restorer::restore(const Volume& volume, const Progress& progress, Intensity* intensity) {
  const PatchGrid grid = make_patch_grid(volume.size, options_.backend.patch, options_.margin);
  const Intensity measured = measure_intensity(normalization_, volume);
  if (intensity) *intensity = measured;
  Volume result(volume.size);
  backend_->restore({grid, volume, measured, options_.pad, batch_norm_, progress}, result);
  return result;
}

}  // namespace sr
