#include "tools/evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "engine/report/svg_chart.h"
#include "tools/results.h"
#include "tools/scan_transform.h"

namespace sr {
namespace {

namespace fs = std::filesystem;

void require_same_grid(const ScanReader& reference, const ScanReader& test, bool same_count = true) {
  const ScanInfo &r = reference.info(), &t = test.info();
  const std::string names = test.path().string() + " and " + reference.path().string();
  if (r.size != t.size || (same_count && r.n_volumes != t.n_volumes))
    throw Error(Status::bad_input,
                fmt::format("{} have different grids: {}x{}x{}x{} and {}x{}x{}x{} voxels", names, t.size.w, t.size.h,
                            t.size.d, t.n_volumes, r.size.w, r.size.h, r.size.d, r.n_volumes));
  const double apart = misplacement_mm(r, t);
  if (!(apart <= 0.05 * smallest_voxel_edge_mm(r)))  // headers round to float; beyond that it is another place
    throw Error(Status::bad_input,
                fmt::format("{} lie in different places: their affines put corners {:.2f} mm apart", names, apart));
}

std::optional<Volume> read_mask(const Comparison& files, const ScanReader& reference) {
  if (files.mask.empty()) return {};
  ScanReader mask(files.mask);
  require_same_grid(reference, mask, false);
  Volume volume = read_finite(mask, 0);
  if (std::all_of(volume.data.begin(), volume.data.end(), [](float v) { return v == 0; }))
    throw Error(Status::bad_input,
                fmt::format("{} is 0 everywhere: a mask needs voxels to be measured in", files.mask.string()));
  return volume;
}

std::vector<LabelOverlap> read_overlaps(const Comparison& files) {
  if (files.test_labels.empty()) return {};
  ScanReader reference(files.reference_labels), test(files.test_labels);
  require_same_grid(reference, test);
  const Volume truth = read_finite(reference, 0), labels = read_finite(test, 0);
  return naming(files.reference_labels.string() + " and " + files.test_labels.string(),
                [&] { return label_overlap(truth, labels); });
}

double mean_of(const std::vector<LabelOverlap>& overlaps, double (LabelOverlap::*figure)() const) {
  double sum = 0;
  for (const LabelOverlap& o : overlaps) sum += (o.*figure)();
  return overlaps.empty() ? std::nan("") : sum / static_cast<double>(overlaps.size());
}

// One figure of all evaluations, where they have it.
struct Column {
  const char *name, *key, *format;
  int width;  // of the text table
  double (*of)(const Evaluation&);
};

std::vector<Column> columns_of(const std::vector<Evaluation>& evaluations) {
  std::vector<Column> columns{{"PSNR dB", "psnr", "{:.3f}", 8, [](const Evaluation& e) { return e.psnr; }},
                              {"SSIM", "ssim", "{:.5f}", 7, [](const Evaluation& e) { return e.ssim; }},
                              {"NRMSE", "nrmse", "{:.5f}", 7, [](const Evaluation& e) { return e.nrmse; }}};
  if (!evaluations.empty() && !evaluations[0].overlaps.empty()) {
    columns.push_back({"Dice", "dice", "{:.4f}", 7, [](const Evaluation& e) { return e.mean_dice(); }});
    columns.push_back({"Jaccard", "jaccard", "{:.4f}", 7, [](const Evaluation& e) { return e.mean_jaccard(); }});
  }
  if (!evaluations.empty() && evaluations[0].seams)
    columns.push_back({"seams", "seam_ratio", "{:.3f}", 7, [](const Evaluation& e) { return e.seams->ratio(); }});
  return columns;
}

std::string formatted(const Column& column, double value) {
  return fmt::format(fmt::runtime(column.format), value);
}

MeanSd mean_sd_of(const Column& column, const std::vector<Evaluation>& evaluations) {
  std::vector<double> values;
  for (const Evaluation& e : evaluations) values.push_back(column.of(e));
  return mean_sd(values);
}

}  // namespace

double Evaluation::mean_dice() const {
  return mean_of(overlaps, &LabelOverlap::dice);
}
double Evaluation::mean_jaccard() const {
  return mean_of(overlaps, &LabelOverlap::jaccard);
}

MeanSd mean_sd(const std::vector<double>& values) {
  MeanSd result;
  const double n = static_cast<double>(values.size());
  for (const double v : values) result.mean += v / n;
  double squares = 0;
  for (const double v : values) squares += (v - result.mean) * (v - result.mean);
  if (values.size() > 1) result.sd = std::sqrt(squares / (n - 1));
  return result;
}

Volume read_finite(ScanReader& reader, int64_t t) {
  int64_t n_nonfinite = 0;
  Volume volume = reader.read(t, &n_nonfinite);
  if (n_nonfinite)
    throw Error(Status::bad_input, fmt::format("{} has {} voxels that are not finite; metrics would mean nothing",
                                               reader.path().string(), n_nonfinite));
  return volume;
}

Evaluation evaluate(const Comparison& files, const EvaluationOptions& options) {
  ScanReader reference(files.reference), test(files.test);
  require_same_grid(reference, test);
  const std::optional<Volume> mask = read_mask(files, reference);
  Evaluation e;
  e.files = files;
  const int64_t n = test.info().n_volumes;
  for (int64_t t = 0; t < n; ++t) {
    const Volume truth = read_finite(reference, t), image = read_finite(test, t);
    e.volumes.push_back(naming(files.reference.string(),
                               [&] { return compare(truth, image, options.plane, mask ? &*mask : nullptr); }));
    const double share = 1 / static_cast<double>(n);
    e.psnr += share * e.volumes.back().psnr;
    e.ssim += share * e.volumes.back().ssim;
    e.nrmse += share * e.volumes.back().nrmse;
    if (t > 0 || !options.stride) continue;
    double mean = 0;  // air lies below it
    for (const float v : truth.data) mean += v;
    mean /= static_cast<double>(truth.data.size());
    e.seams = naming(files.test.string(),
                     [&] { return measure_seams(truth, image, *options.stride, static_cast<float>(mean)); });
  }
  e.overlaps = read_overlaps(files);
  return e;
}

std::string text_table(const std::vector<Evaluation>& evaluations, int plane, bool subjects) {
  const std::vector<Column> columns = columns_of(evaluations);
  const std::string mean_label = "mean ± sd";
  size_t width = subjects ? mean_label.size() : 4;
  for (const Evaluation& e : evaluations) width = std::max(width, e.files.test.string().size());
  const Metrics& first = evaluations[0].volumes[0];
  std::string out;
  if (subjects)
    out += fmt::format("{} subjects, slices across {}", evaluations.size(), "ijk"[plane]);
  else
    out += fmt::format("reference {}, {} slices across {}", evaluations[0].files.reference.string(),
                       first.slices.size(), "ijk"[plane]);
  if (!subjects && first.n_constant) out += fmt::format(" ({} constant ones skipped)", first.n_constant);
  if (!subjects && first.n_outside) out += fmt::format(" ({} outside the mask)", first.n_outside);
  out += fmt::format("\n{:<{}}", "test", width);
  for (const Column& c : columns) out += fmt::format("  {:>{}}", c.name, c.width);
  for (const Evaluation& e : evaluations) {
    out += fmt::format("\n{:<{}}", e.files.test.string(), width);
    for (const Column& c : columns) out += fmt::format("  {:>{}}", formatted(c, c.of(e)), c.width);
  }
  if (subjects) {
    out += fmt::format("\n{:<{}}", mean_label, width);
    for (const Column& c : columns) {
      const MeanSd m = mean_sd_of(c, evaluations);
      out += fmt::format("  {} ± {}", formatted(c, m.mean), formatted(c, m.sd));
    }
  }
  for (const Evaluation& e : evaluations) {
    if (e.overlaps.empty()) continue;
    out += fmt::format("\n\nlabels of {}\n{:>8}  {:>8}  {:>8}  {:>10}  {:>10}", e.files.test_labels.string(), "label",
                       "Dice", "Jaccard", "reference", "test");
    for (const LabelOverlap& o : e.overlaps)
      out += fmt::format("\n{:>8}  {:>8.4f}  {:>8.4f}  {:>10}  {:>10}", o.label, o.dice(), o.jaccard(), o.n_reference,
                         o.n_test);
  }
  return out + "\n";
}

std::string html_table(const std::vector<Evaluation>& evaluations, bool subjects) {
  const std::vector<Column> columns = columns_of(evaluations);
  std::string html = "<table><tr><th>test</th><th>reference</th>";
  for (const Column& c : columns) html += fmt::format("<th>{}</th>", c.name);
  html += "</tr>";
  for (const Evaluation& e : evaluations) {
    html += fmt::format("<tr><td>{}</td><td>{}</td>", escape_markup(e.files.test.filename().string()),
                        escape_markup(e.files.reference.filename().string()));
    for (const Column& c : columns) html += "<td>" + formatted(c, c.of(e)) + "</td>";
    html += "</tr>";
  }
  if (subjects) {
    html += fmt::format("<tr class=\"mean\"><td>mean ± sd</td><td>{} subjects</td>", evaluations.size());
    for (const Column& c : columns) {
      const MeanSd m = mean_sd_of(c, evaluations);
      html += "<td>" + formatted(c, m.mean) + " ± " + formatted(c, m.sd) + "</td>";
    }
    html += "</tr>";
  }
  return html + "</table>";
}

std::string csv_table(const std::vector<Evaluation>& evaluations) {
  std::set<int32_t> labels;
  for (const Evaluation& e : evaluations)
    for (const LabelOverlap& o : e.overlaps) labels.insert(o.label);
  std::string csv = "reference,test,volume,slices,psnr_db,ssim,nrmse";
  const bool seams = evaluations[0].seams.has_value();
  if (seams) csv += ",seam_ratio";
  for (const int32_t label : labels) csv += fmt::format(",dice_{0},jaccard_{0}", label);
  csv += "\n";
  for (const Evaluation& e : evaluations)
    for (size_t v = 0; v < e.volumes.size(); ++v) {
      const Metrics& m = e.volumes[v];
      csv += fmt::format("{},{},{},{},{},{},{}", csv_field(e.files.reference.string()),
                         csv_field(e.files.test.string()), v, m.slices.size(), m.psnr, m.ssim, m.nrmse);
      if (seams) csv += v == 0 ? fmt::format(",{}", e.seams->ratio()) : ",";
      for (const int32_t label : labels) {
        const auto at = std::find_if(e.overlaps.begin(), e.overlaps.end(),
                                     [label](const LabelOverlap& o) { return o.label == label; });
        csv += v == 0 && at != e.overlaps.end() ? fmt::format(",{},{}", at->dice(), at->jaccard()) : ",,";
      }
      csv += "\n";
    }
  return csv;
}

// Infinite PSNR of equal images and SSIM of too small ones become null.
nlohmann::json evaluation_json(const std::vector<Evaluation>& evaluations, int plane, bool subjects) {
  nlohmann::json tests = nlohmann::json::array();
  for (const Evaluation& e : evaluations) {
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
                         {"slices_outside_mask", m.n_outside},
                         {"slices", slices}});
    }
    nlohmann::json test = {{"file", e.files.test.string()},
                           {"reference", e.files.reference.string()},
                           {"psnr", e.psnr},
                           {"ssim", e.ssim},
                           {"nrmse", e.nrmse},
                           {"volumes", volumes}};
    if (!e.files.mask.empty()) test["mask"] = e.files.mask.string();
    if (e.seams)
      test["seams"] = {{"at_borders", e.seams->at_borders},
                       {"elsewhere", e.seams->elsewhere},
                       {"pairs_at_borders", e.seams->n_borders},
                       {"ratio", e.seams->ratio()}};
    if (!e.overlaps.empty()) {
      nlohmann::json labels = nlohmann::json::array();
      for (const LabelOverlap& o : e.overlaps)
        labels.push_back({{"label", o.label},
                          {"dice", o.dice()},
                          {"jaccard", o.jaccard()},
                          {"voxels_reference", o.n_reference},
                          {"voxels_test", o.n_test}});
      test["labels"] = {{"reference", e.files.reference_labels.string()},
                        {"test", e.files.test_labels.string()},
                        {"mean_dice", e.mean_dice()},
                        {"mean_jaccard", e.mean_jaccard()},
                        {"each", labels}};
    }
    tests.push_back(test);
  }
  nlohmann::json json = {{"program", "srengine"},
                         {"version", SRENGINE_VERSION},
                         {"reference", evaluations[0].files.reference.string()},
                         {"plane", plane},
                         {"tests", tests}};
  if (subjects)
    for (const Column& c : columns_of(evaluations)) {
      const MeanSd m = mean_sd_of(c, evaluations);
      json["over_subjects"][c.key] = {{"mean", m.mean}, {"sd", m.sd}};
    }
  return json;
}

}  // namespace sr
