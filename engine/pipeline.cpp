#include "engine/pipeline.h"

#include <fmt/core.h>

#include "engine/intensity.h"
#include "engine/resample.h"

namespace sr {
namespace {

// Adds the time of a call to a stage.
template <class F>
auto timed(double& seconds, F call) {
  const auto start = std::chrono::steady_clock::now();
  struct Stop {
    double& seconds;
    std::chrono::steady_clock::time_point start;
    ~Stop() { seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(); }
  } stop{seconds, start};
  return call();
}

BatchNorm choose_batch_norm(const RestoreOptions& options, const Mdcsrn& network) {
  const BatchNorm chosen = options.batch_norm.value_or(network.model.batch_norm);
  if (chosen == BatchNorm::running && !network.has_running_statistics())
    throw Error(Status::bad_usage,
                "these weights hold no running batch-norm statistics; --batch-norm patch or scan does without them");
  return chosen;
}

}  // namespace

Restorer::Restorer(const Weights& weights, const RestoreOptions& options)
    : options_(options),
      normalization_(weights.normalization),
      network_(weights),
      batch_norm_(choose_batch_norm(options, network_)) {
  make_patch_grid({1, 1, 1}, options.backend.patch, options.margin);  // refuses what cannot be
  backend_ = make_backend(network_, options.backend);
}

RestoreReport Restorer::restore_scan(const std::filesystem::path& input, const std::filesystem::path& output,
                                     const Progress& progress) {
  RestoreReport report;
  ScanReader reader(input);
  const Size3 size = reader.info().size;
  const Size3 grid = options_.upsample ? high_grid(size, *options_.upsample) : size;
  ScanWriter::Options out;
  out.type = options_.type;
  out.description = fmt::format("srengine {} {}", SRENGINE_VERSION, network_.model.name());
  out.grid = grid;
  if (options_.compression_level) out.compression_level = options_.compression_level;
  ScanWriter writer(output, reader, out);

  const int64_t n = reader.info().n_volumes;
  for (int64_t t = 0; t < n; t++) {
    int64_t n_nonfinite = 0;
    Volume volume = timed(report.seconds.read, [&] { return reader.read(t, &n_nonfinite); });
    if (options_.upsample)
      volume = timed(report.seconds.upsample, [&] { return upsample(volume, grid, network_.model.input); });
    const Progress of_scan = [&](int done, int total) {
      return !progress || progress(static_cast<int>(t) * total + done, static_cast<int>(n) * total);
    };
    volume =
        timed(report.seconds.restore, [&] { return restore(volume, of_scan, &report.intensities.emplace_back()); });
    timed(report.seconds.write, [&] { writer.write(volume); });
    report.n_nonfinite += n_nonfinite;
  }
  timed(report.seconds.write, [&] { writer.commit(); });

  report.input = input, report.output = output;
  report.input_size = size, report.output_size = grid;
  report.n_volumes = n;
  report.n_patches = make_patch_grid(grid, options_.backend.patch, options_.margin).count();
  report.batch_norm = batch_norm_;
  report.warnings = reader.warnings();
  if (report.n_nonfinite > 0)
    report.warnings.push_back(
        fmt::format("{} has {} voxels that are not finite and were taken as 0", input.string(), report.n_nonfinite));
  return report;
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
