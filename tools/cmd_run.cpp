// srengine run: the main job.
#include <fmt/format.h>

#include <filesystem>
#include <map>

#include "engine/pipeline.h"
#include "kernels/cpu_target.h"
#include "tools/choice.h"
#include "tools/commands.h"
#include "tools/interrupt.h"
#include "tools/parse.h"
#include "tools/progress.h"
#include "tools/run_report.h"
#include "tools/scan_transform.h"

namespace sr {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  fs::path weights;
  std::vector<fs::path> scans;
  fs::path output, json;
  RestoreOptions options;
  std::string patch = "70", upsample, max_memory, target;
  bool quiet = false;
};

// dir/scan.nii -> dir/scan_sr.nii.gz
fs::path default_name(const fs::path& scan) {
  fs::path name = split_scan_name(scan).stem;
  name += "_sr.nii.gz";
  return name;
}

// No result may land on a scan of this call, or on another result.
void refuse_collisions(const std::vector<fs::path>& scans, const std::vector<fs::path>& results) {
  std::map<fs::path, fs::path> written_for;  // where a result would land -> its scan
  for (size_t i = 0; i < scans.size(); i++) {
    const auto [other, fresh] = written_for.emplace(scan_identity(results[i]), scans[i]);
    if (!fresh)
      throw Error(Status::bad_usage, fmt::format("{} and {} would both be written to {}; restore them in two calls",
                                                 other->second.string(), scans[i].string(), results[i].string()));
  }
  for (const fs::path& scan : scans)
    if (const auto at = written_for.find(scan_identity(scan)); at != written_for.end())
      throw Error(Status::bad_usage,
                  fmt::format("{} would be overwritten by {}; -o takes another name", scan.string(),
                              at->second == scan ? "its own result" : "the result of " + at->second.string()));
}

// Where each scan's result goes. A folder (there already, or asked for by a trailing slash or by several scans) takes
// default names.
std::vector<fs::path> output_names(const std::vector<fs::path>& scans, const fs::path& output) {
  const bool beside = output.empty();
  const bool folder = !beside && (scans.size() > 1 || fs::is_directory(output) || !output.has_filename());
  if (!beside && !folder) split_scan_name(output);  // refuses a name that is no scan's
  std::vector<fs::path> names;
  for (const fs::path& scan : scans)
    names.push_back(beside ? default_name(scan) : folder ? output / default_name(scan).filename() : output);
  refuse_collisions(scans, names);
  if (!folder) return names;
  std::error_code error;
  fs::create_directories(output, error);
  if (!fs::is_directory(output, error))
    throw Error(Status::bad_output, fmt::format("{}: the folder for the results cannot be made", output.string()));
  return names;
}

struct Failure {
  fs::path scan;
  Status status;
  std::string sentence;
};

void run(Arguments& a) {
  a.options.backend.patch = parse_patch(a.patch);
  if (!a.upsample.empty()) a.options.upsample = parse_factors(a.upsample);
  if (!a.max_memory.empty()) a.options.backend.max_memory = parse_bytes(a.max_memory);
  if (!a.target.empty() && !force_cpu_target(a.target))
    throw Error(Status::bad_usage, fmt::format("--target {}: this processor and program have {}", a.target,
                                               fmt::join(cpu_targets(), ", ")));
  const std::vector<fs::path> outputs = output_names(a.scans, a.output);

  const Weights weights = load_weights(a.weights);
  Restorer restorer(weights, a.options);
  if (!a.quiet)
    note(fmt::format("{} on {}, batch-norm {}", weights.model.name(), restorer.backend().describe(),
                     to_string(restorer.batch_norm())));

  catch_interrupts();
  nlohmann::json report = run_report(a.weights, weights, a.options, restorer);
  report["scans"] = nlohmann::json::array();
  std::vector<Failure> failures;
  for (size_t i = 0; i < a.scans.size(); i++) {
    try {
      ProgressBar bar(a.scans[i].filename().string(), ProgressBar::style_for_stderr(a.quiet));
      const RestoreReport done = restorer.restore_scan(a.scans[i], outputs[i], [&](int n, int total) {
        bar.update(n, total);
        return !interrupted();
      });
      for (const std::string& warning : done.warnings) note(fmt::format("srengine: warning: {}", warning));
      report["scans"].push_back(scan_report(done));
      fmt::print("{}\n", outputs[i].string());
    } catch (const Error& e) {
      if (e.status == Status::interrupted) throw;
      failures.push_back({a.scans[i], e.status, e.what()});
      report["scans"].push_back({{"input", a.scans[i].string()}, {"error", e.what()}});
      if (a.scans.size() > 1) note(fmt::format("srengine: {}", e.what()));
    }
  }
  if (!a.json.empty()) write_json(a.json, report);

  if (failures.empty()) return;
  if (a.scans.size() == 1) throw Error(failures[0].status, failures[0].sentence);
  std::string list;
  for (const Failure& f : failures) list += fmt::format("\n  {}", f.sentence);
  throw Error(Status::some_inputs_failed,
              fmt::format("{} of {} scans failed:{}", failures.size(), a.scans.size(), list));
}

}  // namespace

void add_run(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("run", "Restore the resolution of scans");
  c->add_option("scans", a->scans, "NIfTI scans: .nii, .nii.gz, .hdr/.img")->required();
  c->add_option("-w,--weights", a->weights, "weights file, such as weights/b4u4.bin")->required();
  c->add_option("-o,--output", a->output, "file, or folder for several scans (default: scan_sr.nii.gz beside scan)");
  c->add_option("--upsample", a->upsample,
                "the scan is on its own low-resolution grid: bring it to one finer by these factors first (2x2x1)");
  add_choice<OutputType>(c, "--dtype", a->options.type,
                         {{"float32", OutputType::float32}, {"input", OutputType::input}}, "datatype of the result");
  add_choice<BatchNorm>(c, "--batch-norm", a->options.batch_norm,
                        {{"patch", BatchNorm::patch}, {"running", BatchNorm::running}, {"scan", BatchNorm::scan}},
                        "statistics of each patch, running ones of the weights, or of the whole scan in a first pass "
                        "(default: what the weights file says)");
  c->add_option("--patch", a->patch, "patch size in voxels, N or IxJxK")->capture_default_str();
  c->add_option("--margin", a->options.margin, "voxels of each face of a patch that are not kept")
      ->capture_default_str();
  add_choice<Pad>(c, "--pad", a->options.pad, {{"zero", Pad::zero}, {"reflect", Pad::reflect}},
                  "what a patch holds outside the volume (default: zero)");
  c->add_option("--threads", a->options.backend.threads, "threads (default: one per processor)")
      ->check(CLI::Range(1, 1024));
  c->add_option("--batch", a->options.backend.batch, "patches in flight (default: one per group of 8 threads)")
      ->check(CLI::Range(1, 1024));
  c->add_option("--max-memory", a->max_memory, "memory that patches in flight may take, such as 2G or 500M");
  add_choice<BackendKind>(c, "--backend", a->options.backend.kind,
                          {{"cpu", BackendKind::cpu}, {"ref", BackendKind::ref}},
                          "cpu (default), or ref: plain loops in double, for checking, slow");
  add_choice<ConvAlgorithm>(c, "--conv", a->options.backend.conv,
                            {{"winograd4", ConvAlgorithm::winograd4},
                             {"winograd2", ConvAlgorithm::winograd2},
                             {"direct", ConvAlgorithm::direct}},
                            "how 3x3x3 convolutions are computed (default: winograd4)");
  c->add_option("--target", a->target, "instruction set of the CPU kernels (default: the best there is)");
  c->add_option("--json", a->json, "write versions, options, timings and warnings to this file");
  c->add_flag("-q,--quiet", a->quiet, "no progress, no notes");
  c->callback([a] { run(*a); });
}

}  // namespace sr
