#include "weights/normalization.h"

#include <fmt/format.h>

#include <limits>
#include <string_view>

#include "weights/words.h"

namespace sr {

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

}  // namespace sr
