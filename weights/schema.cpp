#include "weights/schema.h"

#include <fmt/format.h>

#include <charconv>
#include <limits>
#include <string_view>

#include "weights/weights_error.h"

namespace sr {
namespace {

// Collects the tensors of convolutions and norms under their schema names.
class Table {
 public:
  enum class Bias { optional, required };
  void conv(const std::string& layer, int co, int ci, int kernel, Bias bias = Bias::optional) {
    specs_.push_back({layer + ".weight", {co, ci, kernel, kernel, kernel}, TensorRole::conv_weight, false});
    specs_.push_back({layer + ".bias", {co}, TensorRole::conv_bias, bias == Bias::optional});
  }
  void norm(const std::string& layer, int c) {
    specs_.push_back({layer + ".weight", {c}, TensorRole::norm_weight, false});
    specs_.push_back({layer + ".bias", {c}, TensorRole::norm_bias, false});
    specs_.push_back({layer + ".running_mean", {c}, TensorRole::running_mean, true});
    specs_.push_back({layer + ".running_var", {c}, TensorRole::running_var, true});
  }
  void prelu(const std::string& layer, int c) {
    specs_.push_back({layer + ".weight", {c}, TensorRole::prelu_slope, false});
  }
  std::vector<TensorSpec> take() { return std::move(specs_); }

 private:
  std::vector<TensorSpec> specs_;
};

template <class T>
T number_in(std::string_view text, std::string_view what) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size())
    throw WeightsError(fmt::format("'{}' is not a number ({})", text, what));
  return value;
}

int bounded_int(std::string_view text, std::string_view what, int most) {
  const int value = number_in<int>(text, what);
  if (value < 1 || value > most) throw WeightsError(fmt::format("{} is {}; it can be 1 to {}", what, value, most));
  return value;
}

std::string option_list(const ModelDescription& model) {
  switch (model.architecture) {
    case Architecture::mdcsrn:
      return "k=, bottleneck=auto|never|always, trunk=with-inputs|new-features, input=linear|sinc and residual";
    case Architecture::fsrcnn:
      return "d=, s=, m=, input=linear|sinc and residual";
    case Architecture::srresnet:
      return "blocks=, features=, input=linear|sinc and residual";
    case Architecture::srdensenet:
      return "blocks=, units=, k=, input=linear|sinc and residual";
  }
  return "";
}

void apply_option(ModelDescription& model, std::string_view key, std::string_view value) {
  const std::string text(value);
  const Architecture a = model.architecture;
  const bool mdcsrn = a == Architecture::mdcsrn, fsrcnn = a == Architecture::fsrcnn;
  const bool srresnet = a == Architecture::srresnet, srdensenet = a == Architecture::srdensenet;
  if (key == "k" && (mdcsrn || srdensenet)) {
    model.growth = bounded_int(value, "growth k", limits::growth);
  } else if (key == "blocks" && (srresnet || srdensenet)) {
    model.blocks = bounded_int(value, "number of blocks", limits::blocks);
  } else if (key == "units" && srdensenet) {
    model.units = bounded_int(value, "number of units", limits::units);
  } else if (key == "m" && fsrcnn) {
    model.blocks = bounded_int(value, "number of mapping layers m", limits::blocks);
  } else if ((key == "d" && fsrcnn) || (key == "features" && srresnet)) {
    model.features = bounded_int(value, "number of features", limits::features);
  } else if (key == "s" && fsrcnn) {
    model.shrink = bounded_int(value, "number of shrunk features s", limits::features);
  } else if (key == "bottleneck" && mdcsrn) {
    model.bottleneck = parse_bottleneck(text);
  } else if (key == "trunk" && mdcsrn) {
    model.trunk = parse_trunk(text);
  } else if (key == "input") {
    model.input = parse_model_input(text);
  } else if (key == "residual" && value.empty()) {
    model.residual = true;
  } else {
    throw WeightsError(
        fmt::format("option '{}' of model {} is unknown; there are {}", key, to_string(a), option_list(model)));
  }
}

}  // namespace

bool ModelDescription::unit_has_bottleneck(int unit) const {
  switch (bottleneck) {
    case Bottleneck::never:
      return false;
    case Bottleneck::always:
      return true;
    case Bottleneck::automatic:
      break;
  }
  return 2 + unit > 4;  // c > 4k with c = (2 + unit) k
}

int ModelDescription::trunk_channels(int n_blocks) const {
  return trunk == Trunk::with_inputs ? n_blocks * block_channels() : (2 + n_blocks * units) * growth;
}

std::string ModelDescription::name() const {
  const ModelDescription usual = default_model(architecture);
  const auto unless_usual = [](const char* what, int value, int usual_value) {
    return value == usual_value ? "" : fmt::format(" {}{}", what, value);
  };
  switch (architecture) {
    case Architecture::mdcsrn:
      return fmt::format("b{}u{}{}{}", blocks, units, reconstruction ? "-r" : "",
                         unless_usual("k", growth, usual.growth));
    case Architecture::fsrcnn:
      return "fsrcnn" + unless_usual("d", features, usual.features) + unless_usual("s", shrink, usual.shrink) +
             unless_usual("m", blocks, usual.blocks);
    case Architecture::srresnet:
      return "srresnet" + unless_usual("blocks", blocks, usual.blocks) +
             unless_usual("features", features, usual.features);
    case Architecture::srdensenet:
      return "srdensenet" + unless_usual("blocks", blocks, usual.blocks) + unless_usual("units", units, usual.units) +
             unless_usual("k", growth, usual.growth);
  }
  return "";
}

ModelDescription default_model(Architecture architecture) {
  ModelDescription model;
  model.architecture = architecture;
  if (architecture == Architecture::fsrcnn) {
    model.units = 1;
    model.features = 56;
    model.shrink = 12;
  } else if (architecture == Architecture::srresnet) {
    model.blocks = 16;
    model.units = 1;
    model.features = 64;
  } else if (architecture == Architecture::srdensenet) {
    model.blocks = 8;
  }
  return model;
}

namespace {

void add_mdcsrn(const ModelDescription& model, Table& table) {
  const int k = model.growth;
  table.conv("stem.conv", 2 * k, 1, 3);
  for (int i = 0; i < model.blocks; ++i) {
    if (i > 0) table.conv(fmt::format("compressors.{}.conv", i - 1), 2 * k, model.trunk_channels(i), 1);
    for (int j = 0; j < model.units; ++j) {
      const std::string unit = fmt::format("blocks.{}.units.{}", i, j);
      int c = (2 + j) * k;
      if (model.unit_has_bottleneck(j)) {
        table.norm(unit + ".bottleneck.norm", c);
        table.conv(unit + ".bottleneck.conv", 4 * k, c, 1);
        c = 4 * k;
      }
      table.norm(unit + ".norm", c);
      table.conv(unit + ".conv", k, c, 3);
    }
  }
  const int trunk = model.trunk_channels(model.blocks);
  if (model.reconstruction) {
    table.conv("reconstruction.compress.conv", 8 * k, trunk, 1);
    table.norm("reconstruction.norm", 8 * k);
    table.conv("reconstruction.conv", 1, 8 * k, 3);
  } else {
    table.conv("combine.conv", 1, trunk, 1);
  }
}

void add_fsrcnn(const ModelDescription& model, Table& table) {
  const int d = model.features, s = model.shrink;
  const auto prelu_conv = [&](const std::string& layer, int co, int ci, int kernel) {
    table.prelu(layer + ".prelu", ci);
    table.conv(layer + ".conv", co, ci, kernel, Table::Bias::required);
  };
  table.conv("extract.conv", d, 1, 5, Table::Bias::required);
  prelu_conv("shrink", s, d, 1);
  for (int i = 0; i < model.blocks; ++i) prelu_conv(fmt::format("mapping.{}", i), s, s, 3);
  prelu_conv("expand", d, s, 1);
  prelu_conv("reconstruct", 1, d, 9);
}

void add_srresnet(const ModelDescription& model, Table& table) {
  const int f = model.features;
  table.conv("head.conv", f, 1, 9, Table::Bias::required);
  table.prelu("head.prelu", f);
  for (int i = 0; i < model.blocks; ++i) {
    const std::string block = fmt::format("blocks.{}", i);
    table.conv(block + ".0.conv", f, f, 3);
    table.norm(block + ".0.norm", f);
    table.prelu(block + ".1.prelu", f);
    table.conv(block + ".1.conv", f, f, 3);
    table.norm(block + ".1.norm", f);
  }
  table.conv("trunk.conv", f, f, 3);
  table.norm("trunk.norm", f);
  table.conv("tail.0.conv", f, f, 3);
  table.prelu("tail.1.prelu", f);
  table.conv("tail.1.conv", f, f, 3);
  table.prelu("reconstruct.prelu", f);
  table.conv("reconstruct.conv", 1, f, 9, Table::Bias::required);
}

void add_srdensenet(const ModelDescription& model, Table& table) {
  const int k = model.growth, block = model.units * k;
  table.conv("stem.conv", 2 * k, 1, 3);
  for (int i = 0; i < model.blocks; ++i)
    for (int j = 0; j < model.units; ++j)
      table.conv(fmt::format("blocks.{}.units.{}.conv", i, j), k, (i == 0 ? 2 * k : block) + j * k, 3);
  table.conv("compress.conv", 8 * k, 2 * k + model.blocks * block, 1);
  table.conv("tail.0.conv", 8 * k, 8 * k, 3);
  table.conv("tail.1.conv", 8 * k, 8 * k, 3);
  table.conv("reconstruct.conv", 1, 8 * k, 3);
}

}  // namespace

std::vector<TensorSpec> tensor_table(const ModelDescription& model) {
  Table table;
  switch (model.architecture) {
    case Architecture::mdcsrn:
      add_mdcsrn(model, table);
      break;
    case Architecture::fsrcnn:
      add_fsrcnn(model, table);
      break;
    case Architecture::srresnet:
      add_srresnet(model, table);
      break;
    case Architecture::srdensenet:
      add_srdensenet(model, table);
      break;
  }
  return table.take();
}

int64_t element_count(const std::vector<int64_t>& shape) {
  int64_t n = 1;
  for (const int64_t extent : shape) n *= extent;
  return n;
}

int64_t multiply_adds_per_voxel(const ModelDescription& model) {
  int64_t n = 0;
  for (const TensorSpec& spec : tensor_table(model))
    if (spec.role == TensorRole::conv_weight) n += element_count(spec.shape);
  return n;
}

ModelDescription parse_model_name(const std::string& text) {
  const auto malformed = [&] {
    return WeightsError(
        fmt::format("'{}' is not a model; examples: b4u4, b1u16-r, b4u4,k=16,bottleneck=never, fsrcnn, srresnet, "
                    "srdensenet",
                    text));
  };
  std::string_view rest = text;
  const auto take_until_comma = [&rest] {
    const auto part = rest.substr(0, rest.find(','));
    rest.remove_prefix(std::min(rest.size(), part.size() + 1));
    return part;
  };
  std::string_view name = take_until_comma();

  ModelDescription model;
  if (name == "fsrcnn" || name == "srresnet" || name == "srdensenet") {
    model = default_model(parse_architecture(std::string(name)));
  } else {
    if (name.ends_with("-r")) {
      model.reconstruction = true;
      name.remove_suffix(2);
    }
    const size_t u = name.find('u');
    if (!name.starts_with('b') || u == std::string_view::npos || u < 2 || u + 1 == name.size()) throw malformed();
    model.blocks = bounded_int(name.substr(1, u - 1), "number of blocks", limits::blocks);
    model.units = bounded_int(name.substr(u + 1), "number of units", limits::units);
  }

  while (!rest.empty()) {
    const std::string_view option = take_until_comma();
    const size_t equals = option.find('=');
    apply_option(model, option.substr(0, equals),
                 equals == std::string_view::npos ? std::string_view() : option.substr(equals + 1));
  }
  return model;
}

std::string check_normalization(const Normalization& rule) {
  using Kind = Normalization::Kind;
  // Voxels are float32: a divisor beyond makes zeros, infinities or NaNs of them.
  constexpr double least = std::numeric_limits<float>::min(), most = std::numeric_limits<float>::max();
  if (rule.kind == Kind::scale && !(rule.by >= least && rule.by <= most))
    return fmt::format("scale divides by {}; it must be from {:.3g} to {:.3g}, what float32 holds", rule.by, least,
                       most);
  if (rule.kind == Kind::percentile && !(rule.by > 0 && rule.by <= 100))
    return fmt::format("percentile is {}; it must be above 0 and at most 100", rule.by);
  return "";
}

Normalization parse_normalization(const std::string& text) {
  using Kind = Normalization::Kind;
  const size_t colon = text.find(':');
  const std::string kind = text.substr(0, colon);
  const bool has_number = colon != std::string::npos;
  Normalization rule;
  if (kind == "none" && !has_number) return rule;
  if (kind == "zscore" && !has_number) return {Kind::zscore, 1};
  if (kind == "foreground" && !has_number) return {Kind::foreground, 1};
  if (has_number && (kind == "scale" || kind == "percentile")) {
    rule = {kind == "scale" ? Kind::scale : Kind::percentile,
            number_in<double>(std::string_view(text).substr(colon + 1), "normalization " + kind)};
    if (const std::string wrong = check_normalization(rule); !wrong.empty())
      throw WeightsError("normalization " + wrong);
    return rule;
  }
  throw WeightsError(fmt::format(
      "normalization '{}' is unknown; there are none, scale:4095, zscore, foreground and percentile:99.5", text));
}

std::string to_string(const Normalization& rule) {
  switch (rule.kind) {
    case Normalization::Kind::none:
      return "none";
    case Normalization::Kind::scale:
      return fmt::format("scale:{}", rule.by);
    case Normalization::Kind::zscore:
      return "zscore";
    case Normalization::Kind::foreground:
      return "foreground";
    case Normalization::Kind::percentile:
      return fmt::format("percentile:{}", rule.by);
  }
  return "";
}

namespace {

template <class E>
struct Name {
  E value;
  const char* text;
};

constexpr Name<Architecture> architecture_names[] = {{Architecture::mdcsrn, "mdcsrn"},
                                                     {Architecture::fsrcnn, "fsrcnn"},
                                                     {Architecture::srresnet, "srresnet"},
                                                     {Architecture::srdensenet, "srdensenet"}};
constexpr Name<Bottleneck> bottleneck_names[] = {
    {Bottleneck::automatic, "auto"}, {Bottleneck::never, "never"}, {Bottleneck::always, "always"}};
constexpr Name<Trunk> trunk_names[] = {{Trunk::with_inputs, "with-inputs"}, {Trunk::new_features, "new-features"}};
constexpr Name<BatchNorm> batch_norm_names[] = {
    {BatchNorm::patch, "patch"}, {BatchNorm::running, "running"}, {BatchNorm::scan, "scan"}};
constexpr Name<Interpolation> interpolation_names[] = {{Interpolation::nearest, "nearest"},
                                                       {Interpolation::linear, "linear"},
                                                       {Interpolation::cubic, "cubic"},
                                                       {Interpolation::sinc, "sinc"}};
constexpr Name<Interpolation> model_input_names[] = {{Interpolation::linear, "linear"}, {Interpolation::sinc, "sinc"}};

template <class E, size_t N>
std::string text_of(const Name<E> (&names)[N], E value) {
  for (const auto& name : names)
    if (name.value == value) return name.text;
  return "";
}

template <class E, size_t N>
E value_of(const Name<E> (&names)[N], const std::string& text, const char* what) {
  std::string known;
  for (const auto& name : names) {
    if (text == name.text) return name.value;
    known += (known.empty() ? "" : ", ") + std::string(name.text);
  }
  throw WeightsError(fmt::format("{} '{}' is unknown; there are {}", what, text, known));
}

}  // namespace

std::string to_string(Architecture a) {
  return text_of(architecture_names, a);
}
std::string to_string(Bottleneck b) {
  return text_of(bottleneck_names, b);
}
std::string to_string(Trunk t) {
  return text_of(trunk_names, t);
}
std::string to_string(BatchNorm b) {
  return text_of(batch_norm_names, b);
}
std::string to_string(Interpolation i) {
  return text_of(interpolation_names, i);
}
std::string batch_norm_clause(const ModelDescription& model, BatchNorm mode) {
  return model.has_norms() ? ", batch-norm " + to_string(mode) : "";
}

Architecture parse_architecture(const std::string& text) {
  return value_of(architecture_names, text, "architecture");
}
Bottleneck parse_bottleneck(const std::string& text) {
  return value_of(bottleneck_names, text, "bottleneck");
}
Trunk parse_trunk(const std::string& text) {
  return value_of(trunk_names, text, "trunk");
}
BatchNorm parse_batch_norm(const std::string& text) {
  return value_of(batch_norm_names, text, "batch_norm");
}
Interpolation parse_model_input(const std::string& text) {
  return value_of(model_input_names, text, "input");
}

}  // namespace sr
