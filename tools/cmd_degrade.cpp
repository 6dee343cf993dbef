// srengine degrade: a low-resolution image from a high-resolution one (docs/spec.md, section 6).
#include <fmt/core.h>

#include <cmath>
#include <optional>

#include "engine/backends/cuda_plugin.h"
#include "engine/backends/kspace_cuda.h"
#include "engine/images/noise.h"
#include "engine/images/resample.h"
#include "tools/commands.h"
#include "tools/common/device_option.h"
#include "tools/common/parse.h"
#include "tools/common/progress.h"
#include "tools/degrade_sidecar.h"
#include "tools/scan_transform.h"

namespace sr {
namespace {

struct Arguments {
  std::filesystem::path scan, output;
  std::string factors = "2x2x1";
  DeviceArguments device;
  Degradation degradation;
};

// Cuts k-space on the GPU where one is wanted and there, else on the CPU.
class Truncation {
 public:
  explicit Truncation(const DeviceArguments& arguments) {
    BackendOptions wanted;
    apply(arguments, wanted);
    if (wanted.gpus.size() > 1)
      throw Error(Status::bad_usage, fmt::format("--device {}: degrade works on one GPU", arguments.device));
    asked_for_ = wanted.device == DeviceKind::cuda;
    if (wanted.device == DeviceKind::cpu) return;
    try {
      gpu_ = usable_gpus(wanted.gpus).front();
    } catch (const Error& e) {
      if (asked_for_) refuse(e);  // else most machines have none, and there is nothing to say
    }
  }

  Volume operator()(const Volume& high, const Factors& factors) {
    if (gpu_) try {
        return truncate_kspace_cuda(*cuda_plugin(nullptr), *gpu_, high, factors);
      } catch (const Error& e) {
        if (e.status != Status::resource_error) throw;
        if (asked_for_) refuse(e);
        note(fmt::format("srengine: warning: the GPU cannot be used: {}; the CPU takes over", e.what()));
        gpu_.reset();  // for the other volumes of the scan as well
      }
    return truncate_kspace(high, factors);
  }

 private:
  [[noreturn]] static void refuse(const Error& e) {
    throw Error(e.status, fmt::format("no GPU can be used: {}; --device cpu does without", e.what()));
  }

  bool asked_for_ = false;
  std::optional<int> gpu_;
};

void run(Arguments& a) {
  Degradation& d = a.degradation;
  d.factors = parse_factors(a.factors);
  if (std::isnan(d.noise)) throw Error(Status::bad_usage, "--noise nan: a standard deviation is a number of 0 or more");
  Truncation truncate(a.device);
  ScanReader reader(a.scan);
  ScanWriter::Options options;
  options.description = fmt::format("srengine {} degrade {}", SRENGINE_VERSION, a.factors);
  const Size3 low = low_grid(reader.info().size, d.factors);
  if (d.grid == Grid::native) options.grid = low;
  DegradationFile sidecar(a.output, a.scan);
  uint64_t seed = d.seed;  // each volume of a 4D scan gets noise of its own
  transform_scan(reader, a.output, options, [&](const Volume& high) {
    Volume image = truncate(high, d.factors);
    if (d.noise > 0) add_rician_noise(image, d.noise, seed++);
    return d.grid == Grid::native ? image : upsample(image, high.size, d.way_back);
  });
  sidecar.write(d);
  fmt::print("{}\n", a.output.string());
}

}  // namespace

void add_degrade(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("degrade", "Make a low-resolution image by cutting the outer k-space");
  c->add_option("scan", a->scan, "high-resolution NIfTI scan")->required();
  c->add_option("-o,--output", a->output, "the low-resolution image; a .json beside it says what was done")->required();
  c->add_option("--factor", a->factors, "reduction along i, j, k; each 1 or more, fractions allowed")
      ->capture_default_str();
  c->add_option("--grid", a->degradation.grid, "write the scan's own grid (input) or the coarse one (native)")
      ->transform(
          CLI::CheckedTransformer(std::map<std::string, Grid>{{"input", Grid::input}, {"native", Grid::native}}))
      ->default_str("input");
  c->add_option("--method", a->degradation.way_back, "way back to the input grid: linear or sinc")
      ->transform(CLI::CheckedTransformer(
          std::map<std::string, Interpolation>{{"linear", Interpolation::linear}, {"sinc", Interpolation::sinc}}))
      ->default_str("linear");
  c->add_option("--noise", a->degradation.noise,
                "standard deviation of Rician noise in the low-resolution image, in the scan's units (default: none)")
      ->check(CLI::Range(0.0, 1e9));
  c->add_option("--seed", a->degradation.seed, "of the noise; the same seed gives the same noise");
  add_device_option(
      c, a->device.device,
      "where k-space is cut: auto: the first GPU, or the CPU where there is none; cpu; cuda, cuda:1: this "
      "GPU or an error");
  c->callback([a] { run(*a); });
}

}  // namespace sr
