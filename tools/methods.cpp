#include "tools/methods.h"

#include <fmt/core.h>

#include "engine/images/metrics.h"
#include "engine/images/resample.h"
#include "tools/common/interrupt.h"
#include "tools/common/progress.h"
#include "tools/evaluation.h"
#include "tools/timing.h"

namespace sr {
namespace {

int64_t bytes_of(Size3 size) {
  return size.voxels() * int64_t{sizeof(float)};
}

class InterpolationMethod : public Method {
 public:
  explicit InterpolationMethod(Interpolation how) : how_(how) {
    upsample(test_volume({16, 16, 16}), {32, 32, 32}, how);  // threads are started
  }
  Volume restore(const Volume& native, Size3 grid, const Progress&) override { return upsample(native, grid, how_); }
  int repeats() const override { return 3; }
  double ms_per_volume(Size3 native, Size3 grid, int repeats) override {
    const Volume volume = test_volume(native);
    std::vector<double> ms;
    for (int i = 0; i < repeats; i++) {
      ms.push_back(milliseconds_of([&] { restore(volume, grid, {}); }));
      stop_if_interrupted();
    }
    return median(ms);
  }
  int64_t held_bytes(Size3 native, Size3 grid) const override { return bytes_of(native) + bytes_of(grid); }

 private:
  Interpolation how_;
};

class NetworkMethod : public Method {
 public:
  NetworkMethod(const Weights& weights, const RestoreOptions& options, const Factors& factors)
      : options_(options),
        input_(weights.model.input),
        measured_(surely_measured({.factors = factors, .way_back = input_})),
        restorer_(weights, options),
        why_not_gpu_(restorer_.backend().why_not_gpu) {
    restorer_.restore(patches_in_flight(restorer_, options), {});  // buffers are touched
  }

  Volume restore(const Volume& native, Size3 grid, const Progress& progress) override {
    const Volume input = upsample(native, grid, input_);
    std::optional<DataConsistency> consistency;
    if (measured_) consistency.emplace(restorer_.consistency_of(input, *measured_));
    Volume result = restorer_.restore(input, progress);
    if (consistency) consistency->apply(result);
    return result;
  }

  double ms_per_volume(Size3, Size3 grid, int repeats) override {
    const std::vector<double> ms = time_patches(restorer_, options_, repeats, [](int) {});
    return median(ms) * make_patch_grid(grid, options_.backend.patch, options_.margin).count();
  }

  // The input and the result, and what was measured, where it is put back.
  int64_t held_bytes(Size3 native, Size3 grid) const override {
    return bytes_of(native) + (measured_ ? 3 : 2) * bytes_of(grid) + restorer_.backend().buffer_bytes();
  }

  std::string device() const override {
    if (restorer_.backend().why_not_gpu != why_not_gpu_)
      throw Error(Status::resource_error, fmt::format("the GPU gave up, so that the times would mean nothing: {}; "
                                                      "--device cpu does without",
                                                      restorer_.backend().why_not_gpu));
    return restorer_.backend().describe();
  }

 private:
  RestoreOptions options_;
  Interpolation input_;
  std::optional<Measured> measured_;
  Restorer restorer_;
  std::string why_not_gpu_;
};

}  // namespace

std::unique_ptr<Method> interpolation_method(Interpolation interpolation) {
  return std::make_unique<InterpolationMethod>(interpolation);
}

std::unique_ptr<Method> network_method(const Weights& weights, const RestoreOptions& options, const Factors& factors) {
  checked_against_ref(weights, options);
  return std::make_unique<NetworkMethod>(weights, options, factors);
}

NetworkSize size_of(const Weights& weights) {
  NetworkSize size{weights.model.name(), 0, multiply_adds_per_voxel(weights.model)};
  for (const TensorSpec& spec : tensor_table(weights.model))
    if (is_parameter(spec.role) && weights.find(spec.name)) size.parameters += element_count(spec.shape);
  return size;
}

MeasuredScan measure_on_scan(const std::filesystem::path& scan, const Factors& factors,
                             const std::vector<Method*>& methods, bool with_quality, const std::string& title) {
  ScanReader reader(scan);
  const auto here = [&](auto work) { return naming(scan.string(), work); };
  const int plane = Degradation{.factors = factors}.plane();
  const int n = static_cast<int>(reader.info().n_volumes);
  MeasuredScan result{reader.info().size, std::vector<ScanFigures>(methods.size())};
  ProgressBar bar(title, ProgressBar::style_for_stderr(title.empty()));
  for (int t = 0; t < n; t++) {
    const Volume high = read_finite(reader, t);
    const Volume native = here([&] { return truncate_kspace(high, factors); });
    const Progress progress = [&](int done, int total) {
      bar.update(t * total + done, n * total);
      return !interrupted();
    };
    for (size_t m = 0; m < methods.size(); m++) {
      ScanFigures& figures = result.figures[m];
      Volume restored;
      std::vector<double> ms;
      for (int repeat = 0; repeat < methods[m]->repeats(); repeat++)
        ms.push_back(milliseconds_of([&] { restored = methods[m]->restore(native, high.size, progress); }));
      figures.ms += median(ms) / n;
      stop_if_interrupted();
      if (!with_quality) continue;
      const Metrics metrics = here([&] { return compare(high, restored, plane); });
      figures.psnr += metrics.psnr / n;
      figures.ssim += metrics.ssim / n;
      figures.nrmse += metrics.nrmse / n;
    }
  }
  return result;
}

}  // namespace sr
