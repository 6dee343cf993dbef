// srengine import: a checkpoint of another program becomes a weights file.
#include <fmt/core.h>

#include "engine/base/status.h"
#include "tools/commands.h"
#include "tools/common/choice.h"
#include "tools/common/parse.h"
#include "tools/scan_transform.h"
#include "weights/import.h"

namespace sr {
namespace {

struct Arguments {
  std::filesystem::path checkpoint, output;
  std::string normalization, provenance;
  ImportOptions options;
  bool explain = false, half = false;
};

void run(Arguments& a) {
  if (!a.normalization.empty()) a.options.normalization = parse_word(parse_normalization, a.normalization);
  if (!a.provenance.empty()) a.options.provenance = parse_word(parse_provenance, a.provenance);
  if (file_identity(a.checkpoint) == file_identity(a.output))
    throw Error(Status::bad_usage, fmt::format("{} would be overwritten by its own weights file; -o takes another name",
                                               a.checkpoint.string()));
  ImportResult result = import_checkpoint(a.checkpoint, a.options);
  if (a.explain) {
    for (const std::string& line : result.explanation) fmt::print("{}\n", line);
    fmt::print("\n");
  }
  try {
    save_weights(a.output, result.weights, a.half);
  } catch (const NotWritten& e) {
    throw Error(Status::bad_output, e.what());
  }
  fmt::print("{}: {}, {} multiply-adds per voxel\n", a.output.string(), architecture_text(result.weights.model),
             multiply_adds_per_voxel(result.weights.model));
  for (const std::string& line : result.choices) fmt::print("  {}\n", line);
}

}  // namespace

void add_import(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  CLI::App* c = app.add_subcommand("import", "Turn a PyTorch, safetensors or NumPy checkpoint into a weights file");
  c->add_option("checkpoint", a->checkpoint, ".pt, .pth, .safetensors or .npz")->required();
  c->add_option("-o,--output", a->output, "the weights file")->required();
  c->add_flag("--explain", a->explain, "print which tensor became which and what was folded");
  c->add_option("--key", a->options.key, "which dictionary of the checkpoint, where several are networks");
  c->add_option("--normalization", a->normalization, "none, scale:4095, zscore, foreground or percentile:99.5");
  add_choice<Interpolation>(c, "--input", a->options.input,
                            {{"linear", Interpolation::linear}, {"sinc", Interpolation::sinc}},
                            "how the network wants a low-resolution scan brought to the output grid");
  c->add_flag_callback(
      "--residual", [a] { a->options.residual = true; }, "the network's output is added to its input");
  add_choice<BatchNorm>(c, "--batch-norm", a->options.batch_norm,
                        {{"patch", BatchNorm::patch}, {"running", BatchNorm::running}, {"scan", BatchNorm::scan}},
                        "statistics that `srengine run` uses by default");
  c->add_option("--eps", a->options.norm_eps, "batch-norm's epsilon: 1e-5, from TensorFlow 1e-3")
      ->check(CLI::Range(1e-12, 1.0));
  c->add_option("--provenance", a->provenance, "trained on what, licence, figures: JSON, a JSON file, or a note");
  c->add_flag("--half", a->half, "store convolution weights in half precision");
  c->callback([a] { run(*a); });
}

}  // namespace sr
