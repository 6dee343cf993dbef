#include "weights/json_fields.h"

#include <cmath>
#include <utility>

namespace sr {

using nlohmann::json;

JsonFields::JsonFields(const json& object, std::string where) : object_(object), where_(std::move(where)) {}

int JsonFields::integer(const std::string& key, int most) {
  const json& value = take(key);
  // Compared as a double: a JSON integer may be any 64-bit number, with or without sign.
  if (!value.is_number_integer() || value.get<double>() < 1 || value.get<double>() > most)
    refuse(key, fmt::format("is not a whole number from 1 to {}", most));
  return value.get<int>();
}

double JsonFields::number(const std::string& key) {
  const json& value = take(key);
  if (!value.is_number() || !std::isfinite(value.get<double>())) refuse(key, "is not a number");
  return value.get<double>();
}

bool JsonFields::boolean(const std::string& key) {
  const json& value = take(key);
  if (!value.is_boolean()) refuse(key, "is neither true nor false");
  return value.get<bool>();
}

std::string JsonFields::text(const std::string& key) {
  const json& value = take(key);
  if (!value.is_string()) refuse(key, "is not text");
  return value.get<std::string>();
}

void JsonFields::expect_no_more() const {
  for (const auto& [key, value] : object_.items())
    if (!taken_.contains(key)) refuse(key, "is not understood by this program");
}

void JsonFields::refuse(const std::string& key, const std::string& why) const {
  throw WeightsError(fmt::format("{}: {} {}", where_, shown(key), why));
}

const json& JsonFields::take(const std::string& key) {
  taken_.insert(key);
  if (!object_.contains(key)) refuse(key, "is missing");
  return object_.at(key);
}

}  // namespace sr
