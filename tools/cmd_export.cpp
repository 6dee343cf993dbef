// srengine export: a network as a file that other programs run.
#include <fmt/core.h>

#include <initializer_list>

#include "engine/pipeline.h"
#include "tools/commands.h"
#include "tools/common/choice.h"
#include "tools/common/parse.h"
#include "tools/scan_transform.h"
#include "weights/onnx_file.h"

namespace sr {
namespace {

namespace fs = std::filesystem;

struct Arguments {
  fs::path weights, onnx, safetensors;
  std::string model;
  std::optional<BatchNorm> batch_norm;
  OnnxOptions options;
};

void check_names(const Arguments& a) {
  if (a.weights.empty() == a.model.empty())
    throw Error(Status::bad_usage, "export takes either a weights file or --model NAME, such as --model b4u4");
  if (a.onnx.empty() && a.safetensors.empty())
    throw Error(Status::bad_usage, "export writes --onnx FILE or --safetensors FILE or both; neither is given");
  using Names = std::pair<const fs::path&, const fs::path&>;
  for (const auto& [result, other] :
       {Names(a.onnx, a.weights), Names(a.safetensors, a.weights), Names(a.onnx, a.safetensors)})
    if (!result.empty() && file_identity(result) == file_identity(other))
      throw Error(Status::bad_usage,
                  fmt::format("{} is the name of two files of this call; give one of them another", result.string()));
}

Weights make_weights(const Arguments& a) {
  if (!a.weights.empty()) return load_weights(a.weights);
  const auto parse = [&a](const std::string& name) {
    const ModelDescription model = parse_model_name(name);
    if (!a.onnx.empty()) check_fits_onnx(model);  // before gigabytes of numbers are made up
    return model;
  };
  return random_weights(parse_word(parse, a.model), 1);
}

BatchNorm choose_batch_norm(const Arguments& a, const Weights& weights) {
  const BatchNorm chosen = a.batch_norm.value_or(weights.model.batch_norm);
  if (chosen == BatchNorm::scan)
    throw Error(Status::bad_usage,
                "these weights take batch-norm's statistics from the whole scan, which a network of one patch does not "
                "see; choose --batch-norm patch or running");
  if (chosen == BatchNorm::running && !weights.has_running_statistics())
    throw Error(Status::bad_usage,
                "these weights hold no running batch-norm statistics; --batch-norm patch does without them");
  return chosen;
}

void run(Arguments& a) {
  check_names(a);
  Weights weights = make_weights(a);
  try {
    if (!a.onnx.empty()) {
      a.options.batch_norm = choose_batch_norm(a, weights);
      save_onnx(a.onnx, weights, a.options);
      fmt::print("{}: {} as ONNX, opset {}{}\n", a.onnx.string(), weights.model.name(), a.options.opset,
                 batch_norm_clause(weights.model, a.options.batch_norm));
    }
    if (!a.safetensors.empty()) {
      save_weights(a.safetensors, weights);
      fmt::print("{}: {} as weights file\n", a.safetensors.string(), weights.model.name());
    }
  } catch (const NotWritten& e) {
    throw Error(Status::bad_output, e.what());
  }
}

}  // namespace

void add_export(CLI::App& app) {
  auto a = std::make_shared<Arguments>();
  const RestoreOptions defaults;  // what `run` takes
  a->options.patch = defaults.backend.patch.w;
  a->options.margin = defaults.margin;
  CLI::App* c = app.add_subcommand("export", "Write a network for ONNX Runtime, OpenVINO and other programs");
  c->add_option("weights", a->weights, "weights file");
  c->add_option("--model", a->model, "network with random weights instead: b4u4, b8u4, b1u16-r, b4u4,k=16");
  c->add_option("--onnx", a->onnx, "the ONNX file");
  add_choice<BatchNorm>(c, "--batch-norm", a->batch_norm,
                        {{"patch", BatchNorm::patch}, {"running", BatchNorm::running}},
                        "statistics of the patch or running ones (default: what the weights file says)");
  c->add_option("--opset", a->options.opset, "version of ONNX's operators")
      ->check(CLI::Range(OnnxOptions::least_opset, OnnxOptions::most_opset))
      ->capture_default_str();
  c->add_option("--safetensors", a->safetensors, "the same numbers, in float32, as a weights file");
  c->callback([a] { run(*a); });
}

}  // namespace sr
