// srengine degrade: a low-resolution image from a high-resolution one (docs/spec.md, section 6).
#include <fmt/core.h>

#include <cmath>

#include "engine/noise.h"
#include "engine/resample.h"
#include "tools/commands.h"
#include "tools/degrade_sidecar.h"
#include "tools/parse.h"
#include "tools/scan_transform.h"

namespace sr {
namespace {

struct Arguments {
  std::filesystem::path scan, output;
  std::string factors = "2x2x1";
  Degradation degradation;
};

void run(Arguments& a) {
  Degradation& d = a.degradation;
  d.factors = parse_factors(a.factors);
  if (std::isnan(d.noise)) throw Error(Status::bad_usage, "--noise nan: a standard deviation is a number of 0 or more");
  ScanReader reader(a.scan);
  ScanWriter::Options options;
  options.description = fmt::format("srengine {} degrade {}", SRENGINE_VERSION, a.factors);
  const Size3 low = low_grid(reader.info().size, d.factors);
  if (d.grid == Grid::native) options.grid = low;
  DegradationFile sidecar(a.output, a.scan);
  uint64_t seed = d.seed;  // each volume of a 4D scan gets noise of its own
  transform_scan(reader, a.output, options, [&](const Volume& high) {
    Volume image = truncate_kspace(high, d.factors);
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
  c->callback([a] { run(*a); });
}

}  // namespace sr
