// Takes fields out of a JSON object by name and type, and notices those that nobody took.
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "weights/weights_error.h"

namespace sr {

// The object must outlive it. All throw WeightsError, starting with `where` and the key.
class JsonFields {
 public:
  JsonFields(const nlohmann::json& object, std::string where);

  int integer(const std::string& key, int most);  // 1 .. most
  double number(const std::string& key);          // finite
  bool boolean(const std::string& key);
  std::string text(const std::string& key);
  // What `parse` makes of the text; it throws WeightsError where the word is unknown.
  template <class Parse>
  auto word(const std::string& key, Parse parse) {
    const std::string value = text(key);
    try {
      return parse(value);
    } catch (const WeightsError&) {
      refuse(key, fmt::format("{} is unknown", shown(value)));
    }
  }
  void expect_no_more() const;
  [[noreturn]] void refuse(const std::string& key, const std::string& why) const;

 private:
  const nlohmann::json& take(const std::string& key);

  const nlohmann::json& object_;
  std::string where_;
  std::set<std::string> taken_;
};

}  // namespace sr
