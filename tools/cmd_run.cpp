// srengine run: the main job.
#include <fmt/format.h>
#include <omp.h>

#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <utility>

#include "engine/pipeline.h"
#include "kernels/cpu_target.h"
#include "tools/commands.h"
#include "tools/common/choice.h"
#include "tools/common/device_option.h"
#include "tools/common/interrupt.h"
#include "tools/common/parse.h"
#include "tools/common/progress.h"
#include "tools/degrade_sidecar.h"
#include "tools/results.h"
#include "tools/run_report.h"
#include "tools/scan_transform.h"

namespace sr {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  fs::path weights;
  std::vector<fs::path> scans;
  fs::path output, change, uncertainty, json;
  RestoreOptions options;
  DeviceArguments device;
  std::string patch = "70", upsample, data_consistency = "auto", target;
  std::optional<std::string> max_memory;
  std::optional<double> consistency_weight;
  std::optional<int> flips;
  bool paper = false, quiet = false;
};

// dir/scan.nii -> dir/scan_sr.nii.gz, for the suffix "sr"
fs::path default_name(const fs::path& scan, const char* suffix) {
  fs::path name = is_scan_name(scan) ? split_scan_name(scan).stem : scan;  // what is no scan is refused when it is read
  name += fmt::format("_{}.nii.gz", suffix);
  return name;
}

// No result may land on a file that is read, or on another result.
void refuse_overwriting(const Arguments& a, const std::vector<ScanRequest>& requests) {
  std::map<fs::path, const ScanRequest*> written_for;  // where a result would land -> whose it is
  std::vector<fs::path> read = a.scans, results{a.json};
  read.push_back(a.weights);
  for (const fs::path& scan : a.scans)
    if (has_degradation(scan)) read.push_back(sidecar_name(scan));
  for (const ScanRequest& r : requests)
    for (const fs::path& result : {r.output, r.change, r.uncertainty}) {
      if (result.empty()) continue;
      results.push_back(result);
      const auto [other, fresh] = written_for.emplace(scan_identity(result), &r);
      if (!fresh && other->second != &r)
        throw Error(
            Status::bad_usage,
            fmt::format("{} and {} would both be written to {}; restore them in two calls, each with its own -o",
                        other->second->input.string(), r.input.string(), result.string()));
    }
  for (const fs::path& scan : a.scans)
    if (const auto at = written_for.find(scan_identity(scan)); at != written_for.end())
      throw Error(
          Status::bad_usage,
          fmt::format("{} would be overwritten by {}; -o takes another name", scan.string(),
                      at->second->input == scan ? "its own result" : "the result of " + at->second->input.string()));
  if (!a.json.empty()) refuse_scan_name("--json", a.json);
  refuse_collisions(read, results);
}

// A name asked for is a folder if it is one, ends in a slash, or stands for the results of several scans.
bool is_folder(const fs::path& asked, size_t n_scans) {
  return !asked.empty() && (n_scans > 1 || fs::is_directory(asked) || !asked.has_filename());
}

// Where each scan's result goes: beside it, into a folder under its default name, or into the file asked for.
std::vector<fs::path> result_names(const std::vector<fs::path>& scans, const fs::path& asked, const char* suffix) {
  const bool folder = is_folder(asked, scans.size());
  if (!asked.empty() && !folder) split_scan_name(asked);  // refuses a name that is no scan's
  if (scans.size() > 1 && is_scan_name(asked) && !fs::is_directory(asked))
    throw Error(Status::bad_usage,
                fmt::format("{} is the name of one scan, but there are {}; give a folder for the results",
                            asked.string(), scans.size()));
  std::vector<fs::path> names;
  for (const fs::path& scan : scans) {
    const fs::path name = default_name(scan, suffix);
    names.push_back(asked.empty() ? name : folder ? asked / name.filename() : asked);
  }
  return names;
}

void make_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (!fs::is_directory(folder, error))
    throw Error(Status::bad_output, fmt::format("{}: the folder for the results cannot be made", folder.string()));
}

// What --data-consistency asks for. "auto": what is known for certain, from --upsample or the scan's degrade sidecar.
std::optional<Measured> measured_of(const Arguments& a, const fs::path& scan) {
  if (a.data_consistency == "off") return {};
  const bool automatic = a.data_consistency == "auto";
  std::optional<Measured> measured = Measured{};
  if (!a.options.upsample) {
    const std::optional<Degradation> sidecar = is_scan_name(scan) ? read_degradation(scan) : std::nullopt;
    if (automatic) {
      measured = sidecar ? surely_measured(*sidecar) : std::nullopt;
    } else {
      measured->factors = parse_factors(a.data_consistency);
      if (sidecar && sidecar->grid == Grid::input) measured->way_back = sidecar->way_back;
      if (measured->factors == Factors{1, 1, 1}) return {};
    }
  }
  // Asked for, it replaces.
  if (measured) measured->weight = a.consistency_weight.value_or(automatic ? default_consistency_weight : 1);
  return measured;
}

std::vector<ScanRequest> requests_of(const Arguments& a) {
  const std::vector<fs::path> outputs = result_names(a.scans, a.output, "sr");
  std::vector<fs::path> changes(a.scans.size()), uncertainties(a.scans.size());
  if (!a.change.empty()) changes = result_names(a.scans, a.change, "change");
  if (!a.uncertainty.empty()) uncertainties = result_names(a.scans, a.uncertainty, "uncertainty");
  std::vector<ScanRequest> requests(a.scans.size());
  for (size_t i = 0; i < a.scans.size(); i++) {
    requests[i].input = a.scans[i];
    requests[i].output = outputs[i];
    requests[i].change = changes[i];
    requests[i].uncertainty = uncertainties[i];
  }
  refuse_overwriting(a, requests);
  return requests;
}

struct Failure {
  fs::path scan;
  Status status;
  std::string sentence;
};

// Restores a scan; it is still being written when this returns.
std::future<RestoreReport> restore_one(const Arguments& a, Restorer& restorer, ScanRequest& request) {
  request.measured = measured_of(a, request.input);
  const ScanReader readable(request.input);  // or else no folder is made
  for (const fs::path& asked : {a.output, a.change, a.uncertainty})
    if (is_folder(asked, a.scans.size())) make_folder(asked);
  ProgressBar bar(request.input.filename().string(), ProgressBar::style_for_stderr(a.quiet));
  return restorer.start_scan(request, [&](int n, int total) {
    bar.update(n, total);
    return !interrupted();
  });
}

// Waits for a scan to be written, prints what was, returns its part of the report.
nlohmann::json finish_one(const ScanRequest& request, std::future<RestoreReport>& written) {
  const RestoreReport done = written.get();
  for (const std::string& warning : done.warnings) note(fmt::format("srengine: warning: {}", warning));
  for (const fs::path& result : {request.output, request.change, request.uncertainty})
    if (!result.empty()) fmt::print("{}\n", result.string());
  return scan_report(done);
}

// The paper's own settings, where an option does not say otherwise.
void use_paper_settings(Arguments& a) {
  a.options.batch_norm = a.options.batch_norm.value_or(BatchNorm::patch);
  if (a.data_consistency == "auto") a.data_consistency = "off";
}

void run(Arguments& a) {
  a.options.backend.patch = parse_patch(a.patch);
  apply(a.device, a.options.backend);
  if (a.options.backend.kind == BackendKind::ref && a.options.backend.device == DeviceKind::cuda)
    throw Error(Status::bad_usage, "--backend ref computes on the host; --device cuda does not go with it");
  if (!a.upsample.empty()) a.options.upsample = parse_factors(a.upsample);
  if (a.max_memory) a.options.backend.max_memory = parse_bytes(*a.max_memory);
  if (a.paper) use_paper_settings(a);
  if (a.data_consistency != "auto" && a.data_consistency != "off") parse_factors(a.data_consistency);
  if (!a.target.empty() && !force_cpu_target(a.target))
    throw Error(Status::bad_usage, fmt::format("--target {}: this processor and program have {}", a.target,
                                               fmt::join(cpu_targets(), ", ")));
  a.options.flips = a.flips.value_or(a.uncertainty.empty() ? 1 : 8);
  if (a.options.flips == 1 && !a.uncertainty.empty())
    throw Error(Status::bad_usage, "--uncertainty is the spread over flips; --flips 1 leaves none, it takes 2, 4 or 8");
  std::vector<ScanRequest> requests = requests_of(a);

  std::optional<JsonFile> sidecar;
  if (!a.json.empty()) sidecar.emplace(a.json);
  const Weights weights = load_weights(a.weights);
  Restorer restorer(weights, a.options);
  if (!a.quiet)
    note(fmt::format("{} on {}{}", weights.model.name(), restorer.backend().describe(),
                     batch_norm_clause(weights.model, restorer.batch_norm())));
  if (!a.quiet && !restorer.backend().why_not_gpu.empty())
    note(fmt::format("no GPU: {}", restorer.backend().why_not_gpu));

  if (a.options.backend.threads)
    omp_set_num_threads(a.options.backend.threads);  // of k-space and interpolation as well
  catch_interrupts();
  nlohmann::json report = run_report(a.weights, weights, a.options, restorer);
  report["scans"] = nlohmann::json::array();
  std::vector<Failure> failures;
  std::function<void()> finish;  // of the scan that is being written: reports keep the order of the scans
  const auto failed = [&](const ScanRequest& r, Status status, const std::string& sentence) {
    finish();
    failures.push_back({r.input, status, sentence});
    report["scans"].push_back({{"input", r.input.string()}, {"error", sentence}});
    if (requests.size() > 1) note(fmt::format("srengine: {}", sentence));
  };
  // What goes wrong with one scan does not stop the others. Returns whether it was done.
  const auto attempt = [&](const ScanRequest& request, const auto& work) {
    try {
      work();
      return true;
    } catch (const Error& e) {
      if (e.status == Status::interrupted) throw;
      failed(request, e.status, e.what());
    } catch (const std::bad_alloc&) {
      failed(request, Status::device_trouble, fmt::format("{}: the memory is exhausted", request.input.string()));
    } catch (const std::exception& e) {
      failed(request, Status::bad_input, fmt::format("{}: {}", request.input.string(), e.what()));
    }
    return false;
  };
  // While a scan is written, the next one is read and restored.
  const ScanRequest* being_written = nullptr;
  std::future<RestoreReport> written;
  finish = [&] {
    if (!being_written) return;
    const ScanRequest& request = *std::exchange(being_written, nullptr);
    attempt(request, [&] { report["scans"].push_back(finish_one(request, written)); });
  };
  for (ScanRequest& request : requests) {
    std::future<RestoreReport> next;
    bool restored = false;
    try {
      restored = attempt(request, [&] { next = restore_one(a, restorer, request); });
    } catch (const Error&) {  // interrupted
      finish();
      if (sidecar) sidecar->write(report);  // of the scans that are done
      throw;
    }
    finish();
    if (restored) being_written = &request, written = std::move(next);
  }
  finish();
  if (failures.empty()) {
    if (sidecar) sidecar->write(report);
    return;
  }
  try {
    if (sidecar) sidecar->write(report);
  } catch (const Error& e) {
    note(fmt::format("srengine: {}", e.what()));  // the scans' own failures are what ends the call
  }
  if (requests.size() == 1) throw Error(failures[0].status, failures[0].sentence);
  std::string list;
  for (const Failure& f : failures) list += fmt::format("\n  {}", f.sentence);
  throw Error(Status::some_inputs_failed,
              fmt::format("{} of {} scans failed:{}", failures.size(), requests.size(), list));
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
  c->add_option("--data-consistency", a->data_consistency,
                "factors by which k-space was cut (2x2x1): its measured centre is put back into the result; auto: what "
                "--upsample or a degrade sidecar says; off")
      ->capture_default_str();
  c->add_option("--consistency-weight", a->consistency_weight,
                "how much of it: 1 replaces, less blends (default: 1; 0.5 with auto)")
      ->check(CLI::Range(0.0, 1.0));
  c->add_option("--flips", a->flips, "mean over 1, 2, 4 or 8 mirrored runs (default: 1; 8 with --uncertainty)")
      ->check(CLI::IsMember({1, 2, 4, 8}));
  c->add_option("--uncertainty", a->uncertainty, "write the standard deviation over the flips to this file or folder");
  c->add_option("--change", a->change, "write result minus interpolated input to this file or folder");
  c->add_flag("--paper", a->paper, "the paper's settings: batch-norm of each patch, no data consistency");
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
  c->add_option("--batch", a->options.backend.batch,
                "patches in flight (default: one per group of 8 threads; 8 on each GPU)")
      ->check(CLI::Range(1, 1024));
  c->add_option("--max-memory", a->max_memory, "memory that patches in flight may take, such as 2G or 500M");
  add_device_options(c, a->device);
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
