// srengine bench: how fast this machine restores, checked before it is timed.
#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/pipeline.h"
#include "kernels/cpu_target.h"
#include "kernels/fma_peak.h"
#include "tools/choice.h"
#include "tools/commands.h"
#include "tools/device_option.h"
#include "tools/interrupt.h"
#include "tools/parse.h"
#include "tools/progress.h"
#include "tools/results.h"

namespace sr {
namespace {

struct Arguments {
  std::filesystem::path weights, json;
  std::string model, shape = "320x320x256", patch = "70", target;
  RestoreOptions options;
  DeviceArguments device;
  int patches = 7;
};

// Smooth structure and noise: no denormals, no constant, nothing that a branch could profit from.
Volume test_volume(Size3 size) {
  Volume v(size);
  uint32_t state = 1;
  for (int z = 0; z < size.d; z++)
    for (int y = 0; y < size.h; y++)
      for (int x = 0; x < size.w; x++) {
        state = state * 1664525u + 1013904223u;
        const double noise = static_cast<double>(state >> 8) / (1 << 24) - 0.5;
        v.at(z, y, x) = static_cast<float>(1 + 0.5 * std::sin(0.3 * x) * std::cos(0.2 * y + 0.1 * z) + 0.2 * noise);
      }
  return v;
}

// Largest difference from the plain loops on one small patch, in units of the result's rms.
double error_against_ref(const Weights& weights, RestoreOptions options) {
  options.backend.patch = {11, 11, 11};
  options.margin = 0;
  const Volume input = test_volume(options.backend.patch);
  const Volume result = Restorer(weights, options).restore(input, {});
  options.backend.kind = BackendKind::ref;
  const Volume expected = Restorer(weights, options).restore(input, {});
  double worst = 0, squares = 0;
  for (size_t i = 0; i < expected.data.size(); i++) {
    const double e = std::abs(static_cast<double>(result.data[i]) - expected.data[i]);
    worst = std::isfinite(e) ? std::max(worst, e) : INFINITY;
    squares += double{expected.data[i]} * expected.data[i];
  }
  return worst / std::sqrt(squares / static_cast<double>(expected.data.size()));
}

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

  const double error = error_against_ref(weights, a.options);
  // Far above rounding (docs/perf-log.md), far below what a wrong kernel does: some forty layers of 2^-11 or 2^-8.
  const cuda::Precision precision = a.options.backend.precision;
  const double tolerance = precision == cuda::Precision::fp32 ? 1e-3 : precision == cuda::Precision::bf16 ? 0.15 : 0.02;
  if (!(error < tolerance))
    throw Error(Status::device_trouble,
                fmt::format("the result differs from the plain loops by {:.1e} of its rms; not timed", error));

  Restorer restorer(weights, a.options);
  const int batch = restorer.backend().batch();
  // As many patches as are in flight, side by side along x.
  const int stride = patch.w - 2 * a.options.margin;
  const Volume volume = test_volume({patch.d - 2 * a.options.margin, patch.h - 2 * a.options.margin, stride * batch});

  catch_interrupts();
  const std::optional<DeviceLimits> gpu = restorer.backend().limits();
  // Before, between and after the repeats: the machine may have been busy with something else at any one time.
  double peak = gpu ? gpu->gflops : 0;
  const auto sample_peak = [&] {
    if (!gpu) peak = std::max(peak, measure_fma_peak_gflops(restorer.backend().threads()));
  };
  sample_peak();
  std::vector<double> ms;
  ProgressBar bar("bench", ProgressBar::style_for_stderr(false));
  for (int repeat = -1; repeat < a.patches; repeat++) {  // -1: warm-up, first touch of the buffers
    const auto start = std::chrono::steady_clock::now();
    restorer.restore(volume, {});
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    if (interrupted()) throw Error(Status::interrupted, "interrupted");
    if (repeat >= 0) ms.push_back(1e3 * seconds / batch);
    sample_peak();
    bar.update(repeat + 2, a.patches + 1);
  }
  std::sort(ms.begin(), ms.end());
  const double median = ms.size() % 2 ? ms[ms.size() / 2] : (ms[ms.size() / 2 - 1] + ms[ms.size() / 2]) / 2;

  const int n_patches = make_patch_grid(shape, patch, a.options.margin).count();
  const double gflop = 2e-9 * static_cast<double>(multiply_adds_per_voxel(weights.model) * patch.voxels());
  const double gflops = gflop / (median * 1e-3);
  fmt::print("model              {} ({} multiply-adds per voxel)\n", weights.model.name(),
             multiply_adds_per_voxel(weights.model));
  fmt::print("backend            {}\n", restorer.backend().describe());
  fmt::print("patch              {}x{}x{}, margin {}, batch-norm {}\n", patch.w, patch.h, patch.d, a.options.margin,
             to_string(restorer.batch_norm()));
  fmt::print("error against ref  {:.1e} of the output's rms\n", error);
  fmt::print("ms per patch       {:.4g} (median of {}; {:.4g} to {:.4g})\n", median, ms.size(), ms.front(), ms.back());
  fmt::print("ms per volume      {:.0f} ({}: {} patches)\n", median * n_patches, a.shape, n_patches);
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
                      {"batch", batch},
                      {"patch", {patch.w, patch.h, patch.d}},
                      {"margin", a.options.margin},
                      {"batch_norm", to_string(restorer.batch_norm())},
                      {"error_against_ref", error},
                      {"ms_per_patch", {{"median", median}, {"min", ms.front()}, {"max", ms.back()}}},
                      {"shape", {shape.w, shape.h, shape.d}},
                      {"patches_per_volume", n_patches},
                      {"ms_per_volume", median * n_patches},
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
