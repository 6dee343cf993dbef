#include "engine/pipeline.h"

#include <fmt/core.h>

#include <array>
#include <cmath>

#include "engine/images/flips.h"
#include "engine/images/intensity.h"
#include "engine/images/resample.h"

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

BatchNorm choose_batch_norm(const RestoreOptions& options, const Weights& weights) {
  if (!weights.model.has_norms()) return BatchNorm::patch;  // nobody asks, and one pass does
  const BatchNorm chosen = options.batch_norm.value_or(weights.model.batch_norm);
  if (chosen == BatchNorm::running && !weights.has_running_statistics())
    throw Error(Status::bad_usage,
                "these weights hold no running batch-norm statistics; --batch-norm patch or scan does without them");
  return chosen;
}

// Of a voxel of the output grid, as the affine has them.
std::array<double, 3> voxel_edges_mm(const ScanInfo& info, Size3 grid) {
  const auto& m = info.affine();
  const std::array<double, 3> change{double(info.size.w) / grid.w, double(info.size.h) / grid.h,
                                     double(info.size.d) / grid.d};
  const std::string unit = info.space_unit();
  const double mm = unit == "um" ? 1e-3 : unit == "m" ? 1e3 : 1;
  std::array<double, 3> edges;
  for (size_t axis = 0; axis < 3; axis++)
    edges[axis] = std::hypot(m[0][axis], m[1][axis], m[2][axis]) * change[axis] * mm;
  return edges;
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

namespace {

// A scan in work: what is read, what is written, what is reported.
struct ScanInWork {
  ScanReader reader;
  Size3 grid;  // of the results
  std::optional<ScanWriter> result, change, uncertainty;
  RestoreReport report;
  std::vector<std::string> notes;  // warnings of the work itself
  std::string unlike;              // how it differs from what the weights were trained on

  void write(const MeanAndSd& restored, const Volume& input) {
    timed(report.seconds.write, [&] {
      result->write(restored.mean);
      if (uncertainty) uncertainty->write(restored.sd);
      if (!change) return;
      Volume difference = restored.mean;
      for (size_t i = 0; i < difference.data.size(); i++) difference.data[i] -= input.data[i];
      change->write(difference);
    });
  }

  RestoreReport finish() {
    timed(report.seconds.write, [&] {
      result->commit();
      if (change) change->commit();
      if (uncertainty) uncertainty->commit();
    });
    report.warnings = reader.warnings();
    const std::vector<std::string>& of_writer = result->warnings();
    report.warnings.insert(report.warnings.end(), of_writer.begin(), of_writer.end());
    if (report.n_nonfinite > 0)
      report.warnings.push_back(fmt::format("{} has {} voxels that are not finite and were taken as 0",
                                            report.input.string(), report.n_nonfinite));
    if (report.n_nonfinite_result > 0)
      report.warnings.push_back(
          fmt::format("{}: {} voxels of the result are not finite; the scan's values and the "
                      "weights' normalization do not go together",
                      report.input.string(), report.n_nonfinite_result));
    report.warnings.insert(report.warnings.end(), notes.begin(), notes.end());
    if (!unlike.empty()) report.warnings.push_back(fmt::format("{}: {}", report.input.string(), unlike));
    return std::move(report);
  }
};

}  // namespace

std::future<RestoreReport> Restorer::start_scan(const ScanRequest& request, const Progress& progress) {
  const auto work = std::make_shared<ScanInWork>(ScanInWork{ScanReader(request.input), {}, {}, {}, {}, {}, {}, {}});
  RestoreReport& report = work->report;
  const ScanInfo& info = work->reader.info();
  const Size3 grid = work->grid = options_.upsample ? high_grid(info.size, *options_.upsample) : info.size;
  const std::string program = fmt::format("srengine {} {}", SRENGINE_VERSION, network_->model.name());
  const auto open = [&](const std::filesystem::path& path, OutputType type, const std::string& what) {
    ScanWriter::Options out;
    out.type = type;
    out.description = program + what;
    out.grid = grid;
    if (options_.compression_level) out.compression_level = options_.compression_level;
    return ScanWriter(path, work->reader, out);
  };
  work->result.emplace(open(request.output, options_.type, ""));
  if (!request.change.empty()) work->change.emplace(open(request.change, OutputType::float32, " change"));
  if (!request.uncertainty.empty())
    work->uncertainty.emplace(open(request.uncertainty, OutputType::float32, " uncertainty"));

  const int n = static_cast<int>(info.n_volumes);
  report.input = request.input, report.output = request.output;
  report.input_size = info.size, report.output_size = grid;
  report.n_volumes = n;
  report.n_patches = make_patch_grid(grid, options_.backend.patch, options_.margin).count();
  report.batch_norm = batch_norm_;
  if (request.measured) report.consistency_weight = request.measured->weight;

  Volume input;
  MeanAndSd restored;
  for (int t = 0; t < n; t++) {
    if (t > 0) work->write(restored, input);  // the volume before; the last one is left
    int64_t n_nonfinite = 0;
    input = timed(report.seconds.read, [&] { return work->reader.read(t, &n_nonfinite); });
    report.n_nonfinite += n_nonfinite;
    std::optional<DataConsistency> consistency;
    if (request.measured)
      consistency.emplace(timed(report.seconds.consistency, [&] { return consistency_of(input, *request.measured); }));
    if (options_.upsample)
      input = timed(report.seconds.upsample, [&] { return upsample(input, grid, network_->model.input); });

    Intensity& intensity = report.intensities.emplace_back();
    restored = mean_and_sd(options_.flips, [&](int which) {
      const Progress of_scan = [&](int done, int total) {
        return !progress || progress((t * options_.flips + which) * total + done, n * options_.flips * total);
      };
      Volume once = timed(report.seconds.restore, [&] {
        if (which == 0) return restore(input, of_scan, &intensity);
        return flip(restore(flip(input, which), of_scan), which);
      });
      if (consistency) timed(report.seconds.consistency, [&] { consistency->apply(once); });
      return once;
    });

    for (const float v : restored.mean.data) report.n_nonfinite_result += !std::isfinite(v);
    if (backend_->why_not_gpu != said_why_not_gpu_)
      work->notes.push_back(fmt::format("{}: the CPU took over from the GPU: {}", request.input.string(),
                                        said_why_not_gpu_ = backend_->why_not_gpu));
    if (domain_ && t == 0) work->unlike = outside_domain(*domain_, input, voxel_edges_mm(info, grid), request.input);
  }
  if (report.n_nonfinite_result > 0 && options_.backend.precision == cuda::Precision::f16)
    work->notes.push_back(
        fmt::format("{}: f16 ends at 65504; --precision bf16, tf32 or fp32 goes further", request.input.string()));
  return std::async([work, restored = std::move(restored), input = std::move(input)] {
    work->write(restored, input);
    return work->finish();
  });
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
