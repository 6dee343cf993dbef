// srengine phantom: a digital head for demos and tests.
#include <fmt/core.h>

#include <optional>

#include "engine/images/phantom.h"
#include "engine/nifti/nifti.h"
#include "tools/commands.h"
#include "tools/common/parse.h"
#include "tools/scan_transform.h"

namespace sr {
namespace {

struct Arguments {
  std::filesystem::path output, labels;
  std::string size = "181x217x181", voxel = "1x1x1";
  PhantomOptions options;
  bool no_bias = false;
};

void run(Arguments& a) {
  a.options.size = parse_size(a.size);
  a.options.voxel_mm = parse_voxel_mm(a.voxel);
  a.options.bias_field = !a.no_bias;
  if (!a.labels.empty() && scan_identity(a.labels) == scan_identity(a.output))
    throw Error(Status::bad_usage,
                fmt::format("{} would be overwritten by the labels; --labels takes another name", a.output.string()));
  ScanWriter::Options options;
  options.description = fmt::format("srengine {} phantom seed {}", SRENGINE_VERSION, a.options.seed);
  // Both files are opened before the head is drawn, so that a name that cannot be written costs no time.
  ScanWriter image(a.output, a.options.size, a.options.voxel_mm.data(), options);
  std::optional<ScanWriter> labels;
  if (!a.labels.empty()) labels.emplace(a.labels, a.options.size, a.options.voxel_mm.data(), options);

  const Phantom phantom = make_phantom(a.options);
  image.write(phantom.image);
  if (labels) {
    labels->write(phantom.labels);
    labels->commit();
  }
  image.commit();
  fmt::print("{}\n", a.output.string());
}

}  // namespace

void add_phantom(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("phantom", "Draw a T1-like digital head");
  c->add_option("-o,--output", a->output, "the image")->required();
  c->add_option("--size", a->size, "voxels along i, j, k")->capture_default_str();
  c->add_option("--voxel", a->voxel, "voxel size in mm; the head fills the field of view")->capture_default_str();
  c->add_option("--seed", a->options.seed, "another seed is another head")->capture_default_str();
  c->add_option("--noise", a->options.noise, "standard deviation of the Rician noise; white matter is about 800")
      ->capture_default_str();
  c->add_flag("--no-bias", a->no_bias, "no shading by the receive coil");
  c->add_option("--labels", a->labels, "also write the tissue of each voxel (docs/cli.md lists the numbers)");
  c->callback([a] { run(*a); });
}

}  // namespace sr
