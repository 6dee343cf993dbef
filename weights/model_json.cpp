#include "weights/model_json.h"

#include <fmt/format.h>

#include "weights/architecture.h"
#include "weights/json_fields.h"

namespace sr {

using nlohmann::json;

json to_json(const ModelDescription& m) {
  const Architecture& architecture = *m.architecture;
  json j = {{"architecture", architecture.name()},
            {"residual", m.residual},
            {"input", to_string(m.input)},
            {"activation", architecture.activation()}};
  for (const SizeSetting& size : architecture.sizes()) j[size.key] = m.*size.member;
  architecture.write_further(m, j);
  if (m.has_norms()) {
    j["norm_eps"] = m.norm_eps;
    j["batch_norm"] = to_string(m.batch_norm);
  }
  return j;
}

ModelDescription model_from_json(const json& object, const std::string& where) {
  JsonFields fields(object, where);
  const Architecture& architecture =
      *fields.word("architecture", [](const std::string& name) { return &architectures::by_name(name); });
  ModelDescription m = architecture.usual();
  for (const SizeSetting& size : architecture.sizes()) m.*size.member = fields.integer(size.key, size.most);
  architecture.read_further(fields, m);
  m.residual = fields.boolean("residual");
  m.input = fields.word("input", parse_model_input);
  if (m.has_norms()) {
    m.norm_eps = fields.number("norm_eps");
    if (!(m.norm_eps > 0 && m.norm_eps <= 1)) fields.refuse("norm_eps", "is not above 0 and at most 1");
    m.batch_norm = fields.word("batch_norm", parse_batch_norm);
  }
  if (const std::string a = fields.text("activation"); a != architecture.activation())
    fields.refuse("activation", fmt::format("is {}; of {} this program knows '{}'", shown(a), architecture.name(),
                                            architecture.activation()));
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
  JsonFields fields(object, where);
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
