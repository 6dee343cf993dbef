#include "tools/srtrain/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/base/status.h"
#include "engine/training/parameters.h"
#include "tools/common/choice.h"
#include "tools/common/parse.h"
#include "weights/architecture.h"
#include "weights/grow.h"
#include "weights/model_json.h"

namespace sr::train {
namespace {

// What makes the tensors and what is computed with them; how the input is made and normalised is not part of it.
bool same_architecture(ModelDescription a, ModelDescription b) {
  a.input = b.input;
  a.batch_norm = b.batch_norm;
  a.norm_eps = b.norm_eps;
  return a == b;
}

std::string full_name(const ModelDescription& m) {
  std::string details = m.architecture->details(m);
  if (m.residual) details += details.empty() ? "residual" : ", residual";
  return details.empty() ? m.name() : fmt::format("{} ({})", m.name(), details);
}

void fill(Weights& weights, const std::string& name, float value) {
  std::ranges::fill(weights.tensors.at(name).data, value);
}

Weights random_start(const ModelDescription& model, uint64_t seed) {
  Weights weights = random_weights(model, seed);
  std::string last;  // convolution
  for (const TensorSpec& spec : tensor_table(model)) {
    if (!weights.find(spec.name)) continue;
    switch (spec.role) {
      case TensorRole::conv_weight:
        last = spec.name;
        break;
      case TensorRole::norm_weight:
      case TensorRole::running_var:
        fill(weights, spec.name, 1);
        break;
      case TensorRole::conv_bias:
      case TensorRole::norm_bias:
      case TensorRole::running_mean:
        fill(weights, spec.name, 0);
        break;
      case TensorRole::prelu_slope:
        fill(weights, spec.name, 0.25f);  // He et al., arXiv 1502.01852, section 2.1
        break;
    }
  }
  // The last layer adds nothing to the input: training starts there, not at noise.
  if (model.residual) fill(weights, last, 0);
  weights.provenance = nlohmann::json::object();
  return weights;
}

// --init made larger, as --model asks. unmeasured: the running statistics that nothing is known of yet.
Weights grown(const Options& o, Weights small, ModelDescription model, std::vector<std::string>* unmeasured) {
  model.input = small.model.input;
  model.batch_norm = small.model.batch_norm;
  model.norm_eps = small.model.norm_eps;
  // --model b8u4 says nothing of what the network adds its output to: as it was.
  model.residual = small.model.residual;
  if (!can_grow(small.model, model))
    throw Error(Status::bad_weights,
                fmt::format("--init {}: holds {}, but --model asks for {}, which has not all that is there; leave out "
                            "--model to train what is there, or give one with more blocks or units",
                            o.init.string(), full_name(small.model), full_name(model)));
  if (unmeasured && small.has_running_statistics())
    for (const std::string& name : new_tensors(small.model, model))
      if (name.ends_with(".running_mean") || name.ends_with(".running_var")) unmeasured->push_back(name);
  const std::string sha256 = small.sha256;
  Weights large = grow(small, model, o.data.seed);
  large.sha256 = sha256;  // of what the run began with, for --resume
  return large;
}

void refuse_unless(bool sensible, const char* option, double value, const char* why) {
  if (!sensible) throw Error(Status::bad_usage, fmt::format("{} {}: {}", option, value, why));
}

// Written so that what is no number is refused as well.
void check_strengths(const DataOptions& d, bool normalised) {
  refuse_unless(d.noise >= 0 && d.noise <= (normalised ? 10 : 10'000), "--noise", d.noise,
                "is a standard deviation in normalised intensities, where tissue is about 1; 10 at most (10000 with "
                "--normalization none)");
  refuse_unless(d.blur >= 0 && d.blur <= 4, "--blur", d.blur,
                "is a standard deviation in voxels; 4 at most, for more leaves no detail to learn from");
  refuse_unless(d.intensity >= 0 && d.intensity < 1, "--intensity", d.intensity,
                "must be less than 1, such as 0.1, because intensities are scaled by 1 - X to 1 + X");
}

// "NAME=N" of --favour.
std::pair<std::string, int> parse_favour(const std::string& text) {
  const size_t sign = std::min(text.rfind('='), text.size());
  const char* end = text.data() + text.size();
  int times = 0;
  const auto number = std::from_chars(std::min(text.data() + sign + 1, end), end, times);
  if (sign == 0 || number.ec != std::errc() || number.ptr != end || times < 1 || times > 1000)
    throw Error(Status::bad_usage, fmt::format("--favour {}: needs the file name of a scan and how many times as many "
                                               "patches of it, 1 to 1000, such as head1.nii.gz=4",
                                               text));
  return {text.substr(0, sign), times};
}

using ranges::not_negative, ranges::positive;

}  // namespace

void add_data_options(CLI::App& app, Options& o) {
  CLI::Option_group* data = app.add_option_group("Data");
  data->add_option("--data", o.data.folder, "folder of high-resolution NIfTI scans")->required();
  data->add_option("--val", o.data.validation,
                   "subjects for validation: a share of them, a scan, or a file that lists them")
      ->capture_default_str();
  data->add_option("--test", o.data.test,
                   "subjects that are left out: a share of them, a scan, or a file that lists them");
  data->add_option("--factor", o.factors, "factors by which k-space is cut; several are drawn from")
      ->capture_default_str();
  data->add_option("--patches-per-subject", o.data.patches_per_subject, "patches of a subject in an epoch")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  data->add_option("--favour", o.favour, "NAME=N: N times as many patches of the scan with that file name");
  data->add_option("--seed", o.data.seed, "of the split, the patches, the augmentation and random weights")
      ->capture_default_str();
  data->add_flag("--flips,!--no-flips", o.data.flips, "mirror patches along each axis at random (default: yes)");
  data->add_flag(
      "--axes", o.data.axes,
      "augmentation: scans are cut along any of their axes, and patches turned so that it is as --factor says");
  data->add_option("--noise", o.data.noise,
                   "augmentation: the largest standard deviation of noise, in normalised intensities; 0: none");
  data->add_option("--blur", o.data.blur,
                   "augmentation: half of the patches are softened, by a Gaussian of at most so many voxels; 0: none");
  data->add_option("--intensity", o.data.intensity, "augmentation: intensities are scaled by 1 - X to 1 + X; 0: none");
  data->add_option("--max-memory", o.max_memory, "memory that scans may take, such as 8G");
  data->add_option("--loading-threads", o.data.loading_threads, "threads that prepare batches")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
}

void add_preparation_options(CLI::Option_group* network, Options& o) {
  network->add_option("--normalization", o.normalization,
                      "none, scale:N, zscore, foreground, percentile:P (default: that of --init, or foreground)");
  add_choice<Interpolation>(network, "--input", o.input,
                            {{"linear", Interpolation::linear}, {"sinc", Interpolation::sinc}},
                            "how a low-resolution scan is brought to the output grid (default: that of the model)");
  add_choice<BatchNorm>(network, "--batch-norm", o.batch_norm,
                        {{"patch", BatchNorm::patch}, {"running", BatchNorm::running}, {"scan", BatchNorm::scan}},
                        "how the trained network is run and validated (default: that of the model)");
}

void add_step_options(CLI::Option_group* optimisation, Options& o) {
  optimisation->add_option("--steps", o.loop.steps, "in all, those before --resume included")
      ->check(positive)
      ->capture_default_str();
  optimisation->add_option("--batch", o.data.batch, "patches a step")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  optimisation->add_option("--patch", o.data.patch, "voxels of an edge of a patch")
      ->check(CLI::Range(1, 512))
      ->capture_default_str();
  optimisation->add_option("--lr", o.loop.schedule.rate, "learning rate")
      ->check(ranges::learning_rate)
      ->capture_default_str();
}

void add_update_options(CLI::Option_group* optimisation, Options& o) {
  optimisation->add_option("--clip", o.training.clip, "the gradient's largest norm, 0: any")
      ->check(CLI::Range(0.0, 1000.0));
  optimisation->add_option("--momentum", o.training.norm_momentum, "a batch's share in running statistics")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  optimisation->add_flag("--frozen-norm", o.training.frozen_norm, "batch-norm by the running statistics of --init");
  optimisation->add_option("--average", o.loop.average, "decay of a moving average of the weights, such as 0.999")
      ->check(ranges::decay);
}

void add_compute_options(CLI::App& app, Options& o) {
  CLI::Option_group* compute = app.add_option_group("Compute");
  add_device_option(compute, o.device.device,
                    "auto, cpu, cuda or cuda:N; auto: the first GPU, or the CPU where there is none");
  compute
      ->add_option("--threads", o.training.threads,
                   "threads (default: one per processor, shared out among the processes of a machine)")
      ->check(CLI::Range(1, 1024));
  add_choice<ConvAlgorithm>(compute, "--conv", o.training.conv,
                            {{"winograd4", ConvAlgorithm::winograd4},
                             {"winograd2", ConvAlgorithm::winograd2},
                             {"direct", ConvAlgorithm::direct}},
                            "how 3x3x3 convolutions are computed (default: winograd4)");
}

void add_run_options(CLI::App& app, Options& o) {
  CLI::Option_group* run = app.add_option_group("Run");
  run->add_option("--out", o.out, "folder of the run")->required();
  run->add_flag("--resume", o.resume, "go on with the run in this folder");
  run->add_option("--validate-every", o.loop.validate_every, "steps, 0: at the end alone")
      ->check(not_negative)
      ->capture_default_str();
  run->add_option("--save-every", o.loop.save_every, "steps, 0: at validations and at the end alone")
      ->check(not_negative)
      ->capture_default_str();
  run->add_option("--log-every", o.loop.log_every, "steps")->check(positive)->capture_default_str();
  run->add_flag("-q,--quiet", o.loop.quiet, "no progress, no notes");
}

void add_options(CLI::App& app, Options& o) {
  add_data_options(app, o);
  CLI::Option_group* network = app.add_option_group("Network");
  network->add_option("--model", o.model, "such as b4u4 or b4u4,k=16,residual (default: that of --init, or b4u4)");
  network->add_option("--init", o.init, "weights file to begin with (default: random numbers)");
  add_preparation_options(network, o);

  CLI::Option_group* optimisation = app.add_option_group("Optimisation");
  add_step_options(optimisation, o);
  optimisation->add_option("--warm-up", o.loop.schedule.warm_up, "steps over which it rises")->check(not_negative);
  using enum Schedule::Kind;
  add_choice<Schedule::Kind>(
      optimisation, "--schedule", o.loop.schedule.kind,
      {{"constant", constant}, {"cosine", cosine}, {"linear", linear}, {"step", Schedule::Kind::step}},
      "how it falls (default: constant)");
  optimisation->add_option("--decay", o.loop.schedule.decay, "the last share of the run, over which it falls")
      ->check(CLI::Range(0.0, 1.0));
  add_update_options(optimisation, o);

  add_compute_options(app, o);
  add_run_options(app, o);
}

void interpret(Options& o) {
  o.data.factors.clear();
  for (const std::string& text : o.factors) o.data.factors.push_back(parse_factors(text));
  for (const std::string& text : o.favour)
    if (!o.data.favour.insert(parse_favour(text)).second)
      throw Error(Status::bad_usage, fmt::format("--favour {}: this scan is named twice", text));
  if (o.max_memory) o.data.max_memory = parse_bytes(*o.max_memory);
  check_strengths(o.data, o.normalization != "none");
  BackendOptions backend;
  apply(o.device, backend);
  if (backend.gpus.size() > 1)
    throw Error(Status::bad_usage, fmt::format("--device {}: srtrain uses one GPU, such as cuda:0", o.device.device));
  o.training.device = backend.device;
  if (!backend.gpus.empty()) o.training.gpu = backend.gpus[0];
  if (o.loop.schedule.kind == Schedule::Kind::constant && o.loop.schedule.decay)
    throw Error(Status::bad_usage, "--decay: a constant learning rate does not fall; give --schedule as well");
  if (o.training.frozen_norm && o.init.empty())
    throw Error(Status::bad_usage,
                "--frozen-norm: random weights have no running statistics to keep; give --init as well");
  if (o.gan) interpret_gan(o);
}

Weights starting_weights(const Options& o, std::vector<std::string>* unmeasured) {
  Weights weights;
  std::optional<ModelDescription> model;
  if (o.model) model = parse_word(parse_model_name, *o.model);
  if (o.init.empty()) {
    weights = random_start(model.value_or(ModelDescription{}), o.data.seed);
    weights.normalization = parse_normalization("foreground");
  } else {
    weights = load_weights(o.init);
    const nlohmann::json init = {{"sha256", weights.sha256}, {"provenance", weights.provenance}};
    if (model && !same_architecture(*model, weights.model)) weights = grown(o, std::move(weights), *model, unmeasured);
    // What is said there of scans and figures is not true of the weights to come.
    weights.provenance = {{"init", init}};
  }
  if (o.normalization) weights.normalization = parse_word(parse_normalization, *o.normalization);
  if (o.input) weights.model.input = *o.input;
  if (o.batch_norm) weights.model.batch_norm = *o.batch_norm;
  weights.provenance["program"] = "srtrain " SRENGINE_VERSION;
  weights.provenance["seed"] = o.data.seed;
  weights.provenance["batch"] = o.data.batch;
  weights.provenance["patch"] = o.data.patch;
  add_running_statistics(weights);
  return weights;
}

nlohmann::json options_that_matter(const Options& o, const Weights& start) {
  const DataOptions& d = o.data;
  const LoopOptions& l = o.loop;
  nlohmann::json j = {{"--val", d.validation},
                      {"--test", d.test},
                      {"--factor", o.factors},
                      {"--patches-per-subject", d.patches_per_subject},
                      {"--seed", d.seed},
                      {"--flips", d.flips},
                      {"--noise", d.noise},
                      {"--blur", d.blur},
                      {"--intensity", d.intensity},
                      {"--model", to_json(start.model)},
                      {o.init_option(), o.init.empty() ? "" : start.sha256},
                      {"--normalization", to_string(start.normalization)},
                      {"--batch", d.batch},
                      {"--patch", d.patch},
                      {"--lr", l.schedule.rate},
                      {"--clip", o.training.clip},
                      {"--momentum", o.training.norm_momentum},
                      {"--frozen-norm", o.training.frozen_norm},
                      {"--average", l.average}};
  if (o.gan) {
    j.update(gan_options_that_matter(*o.gan));
  } else {
    j["--warm-up"] = l.schedule.warm_up;
    j["--schedule"] = to_string(l.schedule.kind);
  }
  // Left out where not given: runs of programs that did not know them yet can be resumed.
  if (l.schedule.decay) j["--decay"] = *l.schedule.decay;
  if (d.axes) j["--axes"] = true;
  if (!d.favour.empty()) j["--favour"] = d.favour;
  return j;
}

}  // namespace sr::train
