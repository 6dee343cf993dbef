// srengine upsample: the interpolation baselines (docs/spec.md, section 5).
#include <fmt/core.h>

#include "engine/images/resample.h"
#include "tools/commands.h"
#include "tools/common/parse.h"
#include "tools/results.h"
#include "tools/scan_transform.h"

namespace sr {
namespace {

struct Arguments {
  std::filesystem::path scan, output, like;
  std::string factors;
  Interpolation method = Interpolation::linear;
};

// The grid of `like`, if it shows the same part of the world as the scan does.
Size3 grid_of(const std::filesystem::path& like, const ScanReader& scan) {
  const ScanReader target(like);
  const double apart = misplacement_mm(scan.info(), target.info());
  if (!(apart <= 0.05 * smallest_voxel_edge_mm(target.info())))  // headers round to float; beyond is another place
    throw Error(Status::bad_input,
                fmt::format("{} and {} do not cover the same part of the world (corners are {:.2f} mm apart); --factor "
                            "upsamples without a target",
                            scan.path().string(), like.string(), apart));
  return target.info().size;
}

void run(Arguments& a) {
  refuse_collisions({a.like}, {a.output});
  ScanReader reader(a.scan);
  ScanWriter::Options options;
  options.description = fmt::format("srengine {} upsample {}", SRENGINE_VERSION, to_string(a.method));
  options.grid = a.like.empty() ? high_grid(reader.info().size, parse_factors(a.factors)) : grid_of(a.like, reader);
  transform_scan(reader, a.output, options, [&](const Volume& low) { return upsample(low, options.grid, a.method); });
  fmt::print("{}\n", a.output.string());
}

}  // namespace

void add_upsample(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("upsample", "Interpolate a low-resolution image to a finer grid");
  c->add_option("scan", a->scan, "low-resolution NIfTI scan on its own grid (degrade --grid native)")->required();
  c->add_option("-o,--output", a->output, "the interpolated image")->required();
  CLI::Option_group* target = c->add_option_group("target");
  target->add_option("--like", a->like, "take the grid of this scan");
  target->add_option("--factor", a->factors, "or a grid finer by these factors along i, j, k");
  target->require_option(1);
  c->add_option("--method", a->method, "nearest, linear, cubic (Catmull-Rom) or sinc (zero-filled k-space)")
      ->transform(CLI::CheckedTransformer(std::map<std::string, Interpolation>{{"nearest", Interpolation::nearest},
                                                                               {"linear", Interpolation::linear},
                                                                               {"cubic", Interpolation::cubic},
                                                                               {"sinc", Interpolation::sinc}}))
      ->default_str("linear");
  c->callback([a] { run(*a); });
}

}  // namespace sr
