#include "weights/model_json.h"

#include <fmt/format.h>

#include <cmath>
#include <set>

#include "weights/weights_error.h"

namespace sr {
namespace {

using nlohmann::json;

// Takes fields out of a JSON object by name and type, and notices those that nobody took.
class Fields {
 public:
  Fields(const json& object, std::string where) : object_(object), where_(std::move(where)) {}

  int integer(const std::string& key, int most) {
    const json& value = take(key);
    // Compared as a double: a JSON integer may be any 64-bit number, with or without sign.
    if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > most)
      refuse(key, fmt::format("is not a whole number from 1 to {}", most));
    return value.get<int>();
  }
  double number(const std::string& key) {
    const json& value = take(key);
    if (!value.is_number() || !std::isfinite(value.get<double>())) refuse(key, "is not a number");
    return value.get<double>();
  }
  bool boolean(const std::string& key) {
    const json& value = take(key);
    if (!value.is_boolean()) refuse(key, "is neither true nor false");
    return value.get<bool>();
  }
  std::string text(const std::string& key) {
    const json& value = take(key);
    if (!value.is_string()) refuse(key, "is not text");
    return value.get<std::string>();
  }
  template <class Parse>
  auto word(const std::string& key, Parse parse) {
    const std::string value = text(key);
    try {
      return parse(value);
    } catch (const WeightsError&) {
      refuse(key, fmt::format("{} is unknown", shown(value)));
    }
  }
  void expect_no_more() const {
    for (const auto& [key, value] : object_.items())
      if (!taken_.contains(key)) refuse(key, "is not understood by this program");
  }
  [[noreturn]] void refuse(const std::string& key, const std::string& why) const {
    throw WeightsError(fmt::format("{}: {} {}", where_, shown(key), why));
  }

 private:
  const json& take(const std::string& key) {
    taken_.insert(key);
    if (!object_.contains(key)) refuse(key, "is missing");
    return object_.at(key);
  }
  const json& object_;
  std::string where_;
  std::set<std::string> taken_;
};

// What an architecture has, by name: the one list that reading and writing walk. `visit` is called with the key, the
// member and the most it may be.
template <class Model, class Visit>
void for_sizes(Model& m, Visit visit) {
  switch (m.architecture) {
    case Architecture::mdcsrn:
    case Architecture::srdensenet:
      visit("blocks", m.blocks, limits::blocks);
      visit("units", m.units, limits::units);
      visit("growth", m.growth, limits::growth);
      break;
    case Architecture::fsrcnn:
      visit("features", m.features, limits::features);
      visit("shrink", m.shrink, limits::features);
      visit("mapping_layers", m.blocks, limits::blocks);
      break;
    case Architecture::srresnet:
      visit("blocks", m.blocks, limits::blocks);
      visit("features", m.features, limits::features);
      break;
  }
}

std::string activation_of(Architecture a) {
  return a == Architecture::fsrcnn || a == Architecture::srresnet ? "prelu" : "elu";
}

}  // namespace

json to_json(const ModelDescription& m) {
  json j = {{"architecture", to_string(m.architecture)},
            {"residual", m.residual},
            {"input", to_string(m.input)},
            {"activation", activation_of(m.architecture)}};
  for_sizes(m, [&](const char* key, int value, int) { j[key] = value; });
  if (m.architecture == Architecture::mdcsrn) {
    j["bottleneck"] = to_string(m.bottleneck);
    j["trunk"] = to_string(m.trunk);
    j["reconstruction"] = m.reconstruction;
  }
  if (m.has_norms()) {
    j["norm_eps"] = m.norm_eps;
    j["batch_norm"] = to_string(m.batch_norm);
  }
  return j;
}

ModelDescription model_from_json(const json& object, const std::string& where) {
  Fields fields(object, where);
  ModelDescription m = default_model(fields.word("architecture", parse_architecture));
  for_sizes(m, [&](const char* key, int& value, int most) { value = fields.integer(key, most); });
  if (m.architecture == Architecture::mdcsrn) {
    m.bottleneck = fields.word("bottleneck", parse_bottleneck);
    m.trunk = fields.word("trunk", parse_trunk);
    m.reconstruction = fields.boolean("reconstruction");
  }
  m.residual = fields.boolean("residual");
  m.input = fields.word("input", parse_model_input);
  if (m.has_norms()) {
    m.norm_eps = fields.number("norm_eps");
    if (!(m.norm_eps > 0 && m.norm_eps <= 1)) fields.refuse("norm_eps", "is not above 0 and at most 1");
    m.batch_norm = fields.word("batch_norm", parse_batch_norm);
  }
  if (const std::string a = fields.text("activation"); a != activation_of(m.architecture))
    fields.refuse("activation", fmt::format("is {}; of {} this program knows '{}'", shown(a), to_string(m.architecture),
                                            activation_of(m.architecture)));
  fields.expect_no_more();
  return m;
}

json to_json(const Normalization& rule) {
  using Kind = Normalization::Kind;
  switch (rule.kind) {
    case Kind::none:
      return {{"kind", "none"}};
    case Kind::scale:
      return {{"kind", "scale"}, {"by", rule.by}};
    case Kind::zscore:
      return {{"kind", "zscore"}};
    case Kind::foreground:
      return {{"kind", "foreground"}};
    case Kind::percentile:
      return {{"kind", "percentile"}, {"by", rule.by}};
  }
  return {};
}

Normalization normalization_from_json(const json& object, const std::string& where) {
  using Kind = Normalization::Kind;
  Fields fields(object, where);
  const std::string kind = fields.text("kind");
  Normalization rule;
  if (kind == "scale" || kind == "percentile") {
    rule = {kind == "scale" ? Kind::scale : Kind::percentile, fields.number("by")};
    if (const std::string wrong = check_normalization(rule); !wrong.empty())
      throw WeightsError(fmt::format("{}: {}", where, wrong));
  } else if (kind == "zscore") {
    rule.kind = Kind::zscore;
  } else if (kind == "foreground") {
    rule.kind = Kind::foreground;
  } else if (kind != "none") {
    fields.refuse("kind", fmt::format("{} is unknown", shown(kind)));
  }
  fields.expect_no_more();
  return rule;
}

}  // namespace sr
