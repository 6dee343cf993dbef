// srengine bench: how fast this machine restores, checked before it is timed.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/pipeline.h"
#include "kernels/cpu_target.h"
#include "kernels/fma_peak.h"
#include "tools/commands.h"
#include "tools/common/choice.h"
#include "tools/common/device_option.h"
#include "tools/common/interrupt.h"
#include "tools/common/parse.h"
#include "tools/common/progress.h"
#include "tools/results.h"
#include "tools/run_report.h"
#include "tools/timing.h"

namespace sr {
namespace {

struct Arguments {
  std::filesystem::path weights, json;
  std::string model, shape = "320x320x256", patch = "70", target;
  RestoreOptions options;
  DeviceArguments device;
  int patches = 7;
};

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

// Prints where a GPU's time goes and returns the same for the JSON file. The limit of a layer is the larger of two
// times: its multiply-adds on CUDA cores, its features through device memory once. Tensor cores and Winograd beat the
// first, so a share may exceed 1.
nlohmann::json layer_table(const std::vector<LayerTime>& layers, const DeviceLimits& limits) {
  nlohmann::json rows = nlohmann::json::array();
  fmt::print("limits             {:.0f} GFLOP/s, {:.0f} GB/s, measured\n", limits.gflops, limits.gbytes_per_s);
  fmt::print("{:34} {:>5} {:>10} {:>9} {:>7} {:>9}\n", "layers, outside of a graph", "count", "ms / patch", "GFLOP/s",
             "GB/s", "of limit");
  for (const LayerTime& l : layers) {
    const double seconds = l.ms * 1e-3, gflops = 2e-9 * l.multiply_adds / seconds, gbytes = 1e-9 * l.bytes / seconds;
    const double share = std::max(gflops / limits.gflops, gbytes / limits.gbytes_per_s);
    fmt::print("{:34} {:5} {:10.3f} {:9.0f} {:7.0f} {:9.2f}\n", l.what, l.count, l.ms, gflops, gbytes, share);
    rows.push_back({{"layer", l.what},
                    {"count", l.count},
                    {"ms_per_patch", l.ms},
                    {"gflops", gflops},
                    {"gbytes_per_s", gbytes},
                    {"share_of_limit", share}});
  }
  return rows;
}

void bench(Arguments& a) {
  if (a.weights.empty() == a.model.empty())
    throw Error(Status::bad_usage, "bench takes either --weights FILE or --model NAME, such as --model b8u4");
  if (!a.target.empty() && !force_cpu_target(a.target))
    throw Error(Status::bad_usage, fmt::format("--target {}: this processor and program have {}", a.target,
                                               fmt::join(cpu_targets(), ", ")));
  const Weights weights =
      a.weights.empty() ? random_weights(parse_word(parse_model_name, a.model), 1) : load_weights(a.weights);
  const Size3 patch = a.options.backend.patch = parse_patch(a.patch);
  apply(a.device, a.options.backend);
  const Size3 shape = parse_size(a.shape);
  a.options.batch_norm = a.options.batch_norm.value_or(BatchNorm::patch);

  const double error = checked_against_ref(weights, a.options);
  Restorer restorer(weights, a.options);
  catch_interrupts();
  const std::optional<DeviceLimits> gpu = restorer.backend().limits();
  // Before, between and after the repeats: the machine may have been busy with something else at any one time.
  double peak = gpu ? gpu->gflops : 0;
  const auto sample_peak = [&] {
    if (!gpu) peak = std::max(peak, measure_fma_peak_gflops(restorer.backend().threads()));
  };
  sample_peak();
  ProgressBar bar("bench", ProgressBar::style_for_stderr(false));
  std::vector<double> ms = time_patches(restorer, a.options, a.patches, [&](int done) {
    sample_peak();
    bar.update(done + 1, a.patches + 1);
  });
  std::sort(ms.begin(), ms.end());
  const double middle = median(ms);

  const int n_patches = make_patch_grid(shape, patch, a.options.margin).count();
  const double gflop = 2e-9 * static_cast<double>(multiply_adds_per_voxel(weights.model) * patch.voxels());
  const double gflops = gflop / (middle * 1e-3);
  fmt::print("model              {} ({} multiply-adds per voxel)\n", weights.model.name(),
             multiply_adds_per_voxel(weights.model));
  fmt::print("backend            {}\n", restorer.backend().describe());
  fmt::print("patch              {}x{}x{}, margin {}{}\n", patch.w, patch.h, patch.d, a.options.margin,
             batch_norm_clause(weights.model, restorer.batch_norm()));
  fmt::print("error against ref  {:.1e} of the output's rms\n", error);
  fmt::print("ms per patch       {:.4g} (median of {}; {:.4g} to {:.4g})\n", middle, ms.size(), ms.front(), ms.back());
  fmt::print("ms per volume      {:.0f} ({}: {} patches)\n", middle * n_patches, a.shape, n_patches);
  fmt::print("useful GFLOP/s     {:.0f} = {:.2f} x this {}'s FMA peak ({:.0f})\n", gflops, gflops / peak,
             gpu ? "GPU" : "machine", peak);
  fmt::print("peak memory        {:.0f} MB\n", static_cast<double>(peak_memory_bytes()) / 1e6);
  const nlohmann::json layers = gpu ? layer_table(restorer.backend().time_layers(5), *gpu) : nlohmann::json::array();
  if (a.json.empty()) return;
  write_json(a.json, {{"program", "srengine"},
                      {"version", SRENGINE_VERSION},
                      {"model", weights.model.name()},
                      {"backend", restorer.backend().describe()},
                      {"threads", restorer.backend().threads()},
                      {"batch", restorer.backend().batch()},
                      {"patch", {patch.w, patch.h, patch.d}},
                      {"margin", a.options.margin},
                      {"batch_norm", batch_norm_json(restorer)},
                      {"error_against_ref", error},
                      {"ms_per_patch", {{"median", middle}, {"min", ms.front()}, {"max", ms.back()}}},
                      {"shape", {shape.w, shape.h, shape.d}},
                      {"patches_per_volume", n_patches},
                      {"ms_per_volume", middle * n_patches},
                      {"gflops", gflops},
                      {"peak_gflops", peak},
                      {"gpu_gbytes_per_s", gpu ? nlohmann::json(gpu->gbytes_per_s) : nlohmann::json()},
                      {"layers", layers},
                      {"peak_memory_bytes", peak_memory_bytes()}});
}

}  // namespace

void add_bench(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("bench", "Time the network on this machine, checked against the plain loops first");
  c->add_option("-w,--weights", a->weights, "weights file");
  c->add_option("--model", a->model, "network with random weights instead: b4u4, b8u4, b1u16-r, b4u4,k=16");
  c->add_option("--shape", a->shape, "volume that ms per volume is given for")->capture_default_str();
  c->add_option("--patch", a->patch, "patch size in voxels, N or IxJxK")->capture_default_str();
  c->add_option("--margin", a->options.margin, "voxels of each face of a patch that are not kept")
      ->capture_default_str();
  c->add_option("--patches", a->patches, "timed repeats, after one warm-up")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  c->add_option("--threads", a->options.backend.threads, "threads (default: one per processor)")
      ->check(CLI::Range(1, 1024));
  c->add_option("--batch", a->options.backend.batch, "patches in flight (default: one per group of 8 threads)")
      ->check(CLI::Range(1, 1024));
  add_choice<BatchNorm>(c, "--batch-norm", a->options.batch_norm,
                        {{"patch", BatchNorm::patch}, {"running", BatchNorm::running}, {"scan", BatchNorm::scan}},
                        "as for run (default: patch)");
  add_device_options(c, a->device);
  add_choice<ConvAlgorithm>(c, "--conv", a->options.backend.conv,
                            {{"winograd4", ConvAlgorithm::winograd4},
                             {"winograd2", ConvAlgorithm::winograd2},
                             {"direct", ConvAlgorithm::direct}},
                            "as for run (default: winograd4)");
  c->add_option("--target", a->target, "instruction set of the CPU kernels (default: the best there is)");
  c->add_option("--json", a->json, "write the figures to this file");
  c->callback([a] { bench(*a); });
}

}  // namespace sr
