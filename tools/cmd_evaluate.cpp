// srengine evaluate: how close images are to a reference (docs/spec.md, section 8).
#include <fmt/core.h>

#include "engine/nifti/nifti.h"
#include "engine/report/picture.h"
#include "engine/report/report_html.h"
#include "tools/commands.h"
#include "tools/degrade_sidecar.h"
#include "tools/evaluation.h"
#include "tools/results.h"
#include "tools/scan_transform.h"

namespace sr {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  std::vector<fs::path> references, tests, masks, labels;
  std::string plane = "auto";
  std::optional<int> seams;
  fs::path csv, json, html, png;
};

// What the first test with a degrade sidecar says; nothing where none has one.
std::optional<Degradation> known_degradation(const Arguments& a) {
  for (const fs::path& test : a.tests)
    if (auto degradation = read_degradation(test)) return degradation;
  return {};
}

// Each test with its reference, mask and labels. One reference serves all tests; several stand for a subject each.
std::vector<Comparison> comparisons_of(const Arguments& a) {
  const size_t n = a.tests.size(), n_references = a.references.size();
  if (n_references != 1 && n_references != n)
    throw Error(Status::bad_usage,
                fmt::format("{} references for {} tests: give one for all, or one for each", n_references, n));
  if (a.masks.size() > 1 && a.masks.size() != n_references)
    throw Error(Status::bad_usage, fmt::format("{} masks for {} references: give one for all, or one for each",
                                               a.masks.size(), n_references));
  if (!a.labels.empty() && a.labels.size() != n_references + n)
    throw Error(Status::bad_usage,
                fmt::format("--labels takes the segmentation of each reference, then of each test: {} files, not {}",
                            n_references + n, a.labels.size()));
  std::vector<Comparison> all;
  for (size_t i = 0; i < n; ++i) {
    const size_t r = n_references == 1 ? 0 : i;
    Comparison c;
    c.reference = a.references[r];
    c.test = a.tests[i];
    if (!a.masks.empty()) c.mask = a.masks[a.masks.size() == 1 ? 0 : r];
    if (!a.labels.empty()) {
      c.reference_labels = a.labels[r];
      c.test_labels = a.labels[n_references + i];
    }
    all.push_back(c);
  }
  return all;
}

std::string short_name(const fs::path& scan) {
  return split_scan_name(scan).stem.filename().string();
}

// The first volume of each, against the first reference.
std::vector<uint8_t> drawing(const Arguments& a, const std::vector<Evaluation>& evaluations) {
  ScanReader reference(a.references[0]);
  std::vector<std::string> names;
  std::vector<Volume> volumes;
  for (const Evaluation& e : evaluations) {
    if (e.files.reference != a.references[0]) continue;
    names.push_back(fmt::format("{} {:.2f} dB", short_name(e.files.test), e.volumes[0].psnr));
    volumes.push_back(ScanReader(e.files.test).read(0));
  }
  names.push_back(short_name(a.references[0]));
  volumes.push_back(reference.read(0));
  std::vector<NamedVolume> named;
  for (size_t i = 0; i < volumes.size(); ++i) named.push_back({names[i], &volumes[i]});
  return comparison_png(named, reference.info().affine());
}

std::string report(const Arguments& a, const std::vector<Evaluation>& evaluations, int plane, bool subjects) {
  Report r;
  r.title = "srengine: how close to the reference";
  r.plane = plane;
  r.summary = html_table(evaluations, subjects);
  if (const auto degradation = known_degradation(a)) {
    const double largest = *std::max_element(degradation->factors.begin(), degradation->factors.end());
    if (largest > 1) r.cut = 1 / largest;
  }
  std::vector<ScanReader> readers;
  for (const fs::path& reference : a.references) readers.emplace_back(reference);
  std::vector<Volume> references, tests;
  for (ScanReader& reader : readers) references.push_back(reader.read(0));
  for (const fs::path& test : a.tests) tests.push_back(ScanReader(test).read(0));
  for (size_t i = 0; i < tests.size(); ++i) {
    const size_t at = references.size() == 1 ? 0 : i;
    r.tests.push_back({short_name(a.tests[i]), short_name(a.references[at]), &tests[i], &references[at],
                       readers[at].info().affine(), evaluations[i].volumes[0], evaluations[i].overlaps});
  }
  return report_html(r);
}

void run(const Arguments& a) {
  std::vector<fs::path> read = a.references;
  for (const auto* more : {&a.tests, &a.masks, &a.labels}) read.insert(read.end(), more->begin(), more->end());
  for (const fs::path& test : a.tests)
    if (has_degradation(test)) read.push_back(sidecar_name(test));
  refuse_collisions(read, {a.csv, a.json, a.html, a.png});
  const auto csv = open_result("--csv", a.csv), json = open_result("--json", a.json),
             html = open_result("--html", a.html), png = open_result("--png", a.png);

  EvaluationOptions options;
  options.stride = a.seams;
  const std::optional<Degradation> degradation = known_degradation(a);
  options.plane = a.plane != "auto" ? a.plane[0] - '0' : degradation ? degradation->plane() : 2;
  std::vector<Evaluation> evaluations;
  for (const Comparison& c : comparisons_of(a)) evaluations.push_back(evaluate(c, options));
  const bool subjects = a.references.size() > 1;
  fmt::print("{}", text_table(evaluations, options.plane, subjects));
  if (csv) csv->fill(csv_table(evaluations));
  if (json) json->fill(evaluation_json(evaluations, options.plane, subjects));
  if (png) png->fill(drawing(a, evaluations));
  if (html) html->fill(report(a, evaluations, options.plane, subjects));
  for (const auto* file : {&csv, &json, &html, &png})
    if (*file) (*file)->publish();
}

}  // namespace

void add_evaluate(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("evaluate", "PSNR, SSIM, NRMSE, overlap of labels: images against a reference");
  c->add_option("-r,--reference", a->references, "the high-resolution scan; several: one for each test, a subject each")
      ->required()
      ->allow_extra_args(false);
  c->add_option("tests", a->tests, "images on the same grid")->required();
  c->add_option("--labels", a->labels, "segmentations: of the reference, then of each test; Dice and Jaccard per label")
      ->expected(2, 100000);
  c->add_option("--mask", a->masks, "only voxels where this image is not 0 count; one, or one for each reference")
      ->allow_extra_args(false);
  c->add_option("--plane", a->plane,
                "axis that slices are perpendicular to: 0, 1, 2, or auto: what a degrade sidecar says, else 2")
      ->check(CLI::IsMember({"auto", "0", "1", "2"}))
      ->capture_default_str();
  c->add_option("--seams", a->seams, "voxels between patch borders (64 by default): how much the borders show");
  c->add_option("--csv", a->csv, "write a table to this file");
  c->add_option("--json", a->json, "write all figures, slice by slice, to this file");
  c->add_option("--html", a->html, "write a report with pictures and curves to this file");
  c->add_option("--png", a->png, "draw tests and reference side by side into this file");
  c->callback([a] { run(*a); });
}

}  // namespace sr
