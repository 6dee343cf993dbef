// srengine run: the main job.
#include <fmt/format.h>
#include <omp.h>

#include <memory>

#include "engine/scan_queue.h"
#include "kernels/cpu_target.h"
#include "tools/commands.h"
#include "tools/common/choice.h"
#include "tools/common/device_option.h"
#include "tools/common/interrupt.h"
#include "tools/common/parse.h"
#include "tools/common/progress.h"
#include "tools/degrade_sidecar.h"
#include "tools/failures.h"
#include "tools/results.h"
#include "tools/run_files.h"
#include "tools/run_report.h"

namespace sr {
namespace {

// What of the scan's measured k-space is put back into its result.
struct PutBack {
  bool wanted = true;
  std::optional<Factors> factors;  // as they were given; else what is known for certain
  double weight = kDefaultConsistencyWeight;
};

struct Arguments {
  RunFiles files;
  RestoreOptions options;
  PutBack put_back;
  bool paper = false, quiet = false;

  // As words, until interpret() has understood them.
  DeviceArguments device;
  std::string patch = "70", upsample, data_consistency = "auto", target;
  std::optional<std::string> max_memory;
  std::optional<double> consistency_weight;
  std::optional<int> flips;
};

void interpret(Arguments& a) {
  BackendOptions& backend = a.options.backend;
  backend.patch = parse_patch(a.patch);
  apply(a.device, backend);
  if (backend.kind == BackendKind::ref && backend.device == DeviceKind::cuda)
    throw Error(Status::bad_usage, "--backend ref computes on the host; --device cuda does not go with it");
  if (!a.upsample.empty()) a.options.upsample = parse_factors(a.upsample);
  if (a.max_memory) backend.max_memory = parse_bytes(*a.max_memory);
  if (a.paper) {  // where an option does not say otherwise
    a.options.batch_norm = a.options.batch_norm.value_or(BatchNorm::patch);
    if (a.data_consistency == "auto") a.data_consistency = "off";
  }
  a.put_back.wanted = a.data_consistency != "off";
  if (a.put_back.wanted && a.data_consistency != "auto") a.put_back.factors = parse_factors(a.data_consistency);
  // Asked for, it replaces.
  a.put_back.weight = a.consistency_weight.value_or(a.put_back.factors ? 1 : kDefaultConsistencyWeight);
  if (!a.target.empty() && !force_cpu_target(a.target))
    throw Error(Status::bad_usage, fmt::format("--target {}: this processor and program have {}", a.target,
                                               fmt::join(cpu_targets(), ", ")));
  a.options.flips = a.flips.value_or(a.files.uncertainty.empty() ? 1 : 8);
  if (a.options.flips == 1 && !a.files.uncertainty.empty())
    throw Error(Status::bad_usage, "--uncertainty is the spread over flips; --flips 1 leaves none, it takes 2, 4 or 8");
}

// What was measured of a scan on the output grid: as the factors given say, or its degrade sidecar.
std::optional<Measured> measured_of(const std::optional<Factors>& factors, const ScanName& scan) {
  const std::optional<Degradation> sidecar = scan.is_scan() ? read_degradation(scan) : std::nullopt;
  if (!factors) return sidecar ? surely_measured(*sidecar) : std::nullopt;
  if (*factors == Factors{1, 1, 1}) return {};
  Measured measured{.factors = *factors};
  if (sidecar && sidecar->grid == Grid::input) measured.way_back = sidecar->way_back;
  return measured;
}

OpenScan open_scan(const Arguments& a, const ScanRequest& request) {
  std::optional<Measured> measured;
  if (a.put_back.wanted) measured = a.options.upsample ? Measured{} : measured_of(a.put_back.factors, request.input);
  if (measured) measured->weight = a.put_back.weight;
  OpenScan scan{request, ScanReader(request.input)};
  scan.request.measured = measured;
  make_result_folders(a.files);  // of a scan that can be read
  return scan;
}

// A scan is written: its warnings, the names of its results, its part of the report.
nlohmann::json tell(const ScanRequest& request, const RestoreReport& done) {
  for (const std::string& warning : done.warnings) note(fmt::format("srengine: warning: {}", warning));
  for (const ScanName* result : {&request.output, &request.change, &request.uncertainty})
    if (!result->empty()) fmt::print("{}\n", result->string());
  return scan_report(done);
}

// Every scan is in `report`, restored or not.
std::vector<Failure> restore_all(const Arguments& a, Restorer& restorer, const std::vector<ScanRequest>& requests,
                                 nlohmann::json& report) {
  std::vector<Failure> failures;
  ScanCalls calls;
  calls.open = [&](size_t i) { return open_scan(a, requests[i]); };
  calls.progress = [&](size_t i) -> Progress {
    const std::string title = requests[i].input.path.filename().string();
    const auto bar = std::make_shared<ProgressBar>(title, ProgressBar::style_for_stderr(a.quiet));
    return [bar](int n, int total) {
      bar->update(n, total);
      return !interrupted();
    };
  };
  calls.done = [&](size_t i, std::future<RestoreReport> written) {
    const ScanRequest& request = requests[i];
    if (attempt(failures, request.input.path, [&] { report.push_back(tell(request, written.get())); })) return;
    report.push_back({{"input", request.input.string()}, {"error", failures.back().sentence}});
    if (requests.size() > 1) note(fmt::format("srengine: {}", failures.back().sentence));
  };
  restore_scans(restorer, requests.size(), calls);
  return failures;
}

void run(Arguments& a) {
  interpret(a);
  const std::vector<ScanRequest> requests = requests_of(a.files);
  std::optional<JsonFile> json;
  if (!a.files.json.empty()) json.emplace(a.files.json);
  const Weights weights = load_weights(a.files.weights);
  Restorer restorer(weights, a.options);
  if (!a.quiet)
    note(fmt::format("{} on {}{}", weights.model.name(), restorer.backend().describe(),
                     batch_norm_clause(weights.model, restorer.batch_norm())));
  if (!a.quiet && !restorer.backend().why_not_gpu.empty())
    note(fmt::format("no GPU: {}", restorer.backend().why_not_gpu));
  if (a.options.backend.threads)
    omp_set_num_threads(a.options.backend.threads);  // of k-space and interpolation as well
  catch_interrupts();

  nlohmann::json report = run_report(a.files.weights, weights, a.options, restorer);
  report["scans"] = nlohmann::json::array();
  std::vector<Failure> failures;
  try {
    failures = restore_all(a, restorer, requests, report["scans"]);
  } catch (const Error&) {          // interrupted
    if (json) json->write(report);  // of the scans that are done
    throw;
  }
  try {
    if (json) json->write(report);
  } catch (const Error& e) {
    if (failures.empty()) throw;
    note(fmt::format("srengine: {}", e.what()));  // the scans' own failures are what ends the call
  }
  if (failures.empty()) return;
  throw end_of_many(failures, requests.size(), requests.size() == 1 ? failures[0].status : Status::some_inputs_failed,
                    fmt::format("{} of {} scans failed:", failures.size(), requests.size()));
}

}  // namespace

void add_run(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("run", "Restore the resolution of scans");
  c->add_option("scans", a->files.scans, "NIfTI scans: .nii, .nii.gz, .hdr/.img")->required();
  c->add_option("-w,--weights", a->files.weights, "weights file, such as weights/b4u4.bin")->required();
  c->add_option("-o,--output", a->files.output,
                "file, or folder for several scans (default: scan_sr.nii.gz beside scan)");
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
  c->add_option("--uncertainty", a->files.uncertainty,
                "write the standard deviation over the flips to this file or folder");
  c->add_option("--change", a->files.change, "write result minus interpolated input to this file or folder");
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
  c->add_option("--json", a->files.json, "write versions, options, timings and warnings to this file");
  c->add_flag("-q,--quiet", a->quiet, "no progress, no notes");
  c->callback([a] { run(*a); });
}

}  // namespace sr
