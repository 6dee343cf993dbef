// srengine evaluate: how close images are to a reference (docs/spec.md, section 8).
#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/metrics.h"
#include "engine/nifti.h"
#include "engine/picture.h"
#include "tools/commands.h"
#include "tools/degrade_sidecar.h"
#include "tools/run_report.h"
#include "tools/scan_transform.h"

namespace sr {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  fs::path reference;
  std::vector<fs::path> tests;
  std::string plane = "auto";
  fs::path json, png;
};

// Of one test image: each volume's metrics and their averages.
struct Evaluation {
  std::vector<Metrics> volumes;
  double psnr = 0, ssim = 0, nrmse = 0;
};

int choose_plane(const Arguments& a) {
  if (a.plane != "auto") return a.plane[0] - '0';
  for (const fs::path& test : a.tests)
    if (const auto degradation = read_degradation(test)) return degradation->plane();
  return 2;
}

void require_same_grid(const ScanReader& reference, const ScanReader& test) {
  const ScanInfo &r = reference.info(), &t = test.info();
  const std::string names = test.path().string() + " and its reference " + reference.path().string();
  if (r.size != t.size || r.n_volumes != t.n_volumes)
    throw Error(Status::bad_input,
                fmt::format("{} have different grids: {}x{}x{}x{} and {}x{}x{}x{} voxels", names, t.size.w, t.size.h,
                            t.size.d, t.n_volumes, r.size.w, r.size.h, r.size.d, r.n_volumes));
  const double apart = misplacement_mm(r, t);
  if (!(apart <= 0.05 * smallest_voxel_edge_mm(r)))  // headers round to float; beyond that it is another place
    throw Error(Status::bad_input,
                fmt::format("{} lie in different places: their affines put corners {:.2f} mm apart", names, apart));
}

Evaluation evaluate(ScanReader& reference, const fs::path& name, int plane) {
  ScanReader test(name);
  require_same_grid(reference, test);
  Evaluation e;
  for (int64_t t = 0; t < test.info().n_volumes; ++t) {
    int64_t n_nonfinite = 0, here = 0;
    const Volume truth = reference.read(t, &n_nonfinite), image = test.read(t, &here);
    if (n_nonfinite + here)
      throw Error(Status::bad_input, fmt::format("{} has {} voxels that are not finite; metrics would mean nothing",
                                                 (here ? test : reference).path().string(), here ? here : n_nonfinite));
    try {
      e.volumes.push_back(compare(truth, image, plane));
    } catch (const Error& error) {
      throw Error(error.status, fmt::format("{}: {}", reference.path().string(), error.what()));
    }
    const double share = 1 / static_cast<double>(test.info().n_volumes);
    e.psnr += share * e.volumes.back().psnr;
    e.ssim += share * e.volumes.back().ssim;
    e.nrmse += share * e.volumes.back().nrmse;
  }
  return e;
}

// Infinite PSNR of equal images and SSIM of too small ones become null.
nlohmann::json to_json(const Arguments& a, int plane, const std::vector<Evaluation>& evaluations) {
  nlohmann::json tests = nlohmann::json::array();
  for (size_t i = 0; i < a.tests.size(); ++i) {
    const Evaluation& e = evaluations[i];
    nlohmann::json volumes = nlohmann::json::array();
    for (const Metrics& m : e.volumes) {
      nlohmann::json slices = nlohmann::json::array();
      for (const SliceMetrics& s : m.slices)
        slices.push_back({{"slice", s.slice}, {"psnr", s.psnr}, {"ssim", s.ssim}, {"nrmse", s.nrmse}});
      volumes.push_back({{"psnr", m.psnr},
                         {"ssim", m.ssim},
                         {"nrmse", m.nrmse},
                         {"data_range", m.data_range},
                         {"constant_slices", m.n_constant},
                         {"slices", slices}});
    }
    tests.push_back(
        {{"file", a.tests[i].string()}, {"psnr", e.psnr}, {"ssim", e.ssim}, {"nrmse", e.nrmse}, {"volumes", volumes}});
  }
  return {{"program", "srengine"},
          {"version", SRENGINE_VERSION},
          {"reference", a.reference.string()},
          {"plane", plane},
          {"tests", tests}};
}

void print_table(const Arguments& a, int plane, const std::vector<Evaluation>& evaluations) {
  size_t width = 4;
  for (const fs::path& test : a.tests) width = std::max(width, test.string().size());
  const Metrics& first = evaluations[0].volumes[0];
  fmt::print("reference {}, {} slices across {}", a.reference.string(), first.slices.size(), "ijk"[plane]);
  if (first.n_constant) fmt::print(" ({} constant ones skipped)", first.n_constant);
  fmt::print("\n{:<{}}  {:>8}  {:>7}  {:>7}\n", "test", width, "PSNR dB", "SSIM", "NRMSE");
  for (size_t i = 0; i < a.tests.size(); ++i) {
    const Evaluation& e = evaluations[i];
    fmt::print("{:<{}}  {:8.3f}  {:7.5f}  {:7.5f}\n", a.tests[i].string(), width, e.psnr, e.ssim, e.nrmse);
  }
}

// The first volume of each.
void draw(const Arguments& a, ScanReader& reference, const std::vector<Evaluation>& evaluations) {
  std::vector<Volume> volumes;
  for (const fs::path& test : a.tests) volumes.push_back(ScanReader(test).read(0));
  volumes.push_back(reference.read(0));
  std::vector<NamedVolume> named;
  for (size_t i = 0; i < a.tests.size(); ++i)
    named.push_back({fmt::format("{} {:.2f} dB", split_scan_name(a.tests[i]).stem.filename().string(),
                                 evaluations[i].volumes[0].psnr),
                     &volumes[i]});
  named.push_back({split_scan_name(a.reference).stem.filename().string(), &volumes.back()});
  write_comparison_png(a.png, named, reference.info().affine());
}

void run(const Arguments& a) {
  const int plane = choose_plane(a);
  ScanReader reference(a.reference);
  std::vector<Evaluation> evaluations;
  for (const fs::path& test : a.tests) evaluations.push_back(evaluate(reference, test, plane));
  print_table(a, plane, evaluations);
  if (!a.json.empty()) write_json(a.json, to_json(a, plane, evaluations));
  if (!a.png.empty()) draw(a, reference, evaluations);
}

}  // namespace

void add_evaluate(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("evaluate", "PSNR, SSIM and NRMSE of images against a reference");
  c->add_option("-r,--reference", a->reference, "the high-resolution scan")->required();
  c->add_option("tests", a->tests, "images on the same grid")->required();
  c->add_option("--plane", a->plane,
                "axis that slices are perpendicular to: 0, 1, 2, or auto: what a degrade sidecar says, else 2")
      ->check(CLI::IsMember({"auto", "0", "1", "2"}))
      ->capture_default_str();
  c->add_option("--json", a->json, "write all figures, slice by slice, to this file");
  c->add_option("--png", a->png, "draw tests and reference side by side into this file");
  c->callback([a] { run(*a); });
}

}  // namespace sr
