#include "weights/bounded_json.h"

#include <fmt/format.h>

#include <set>
#include <vector>

#include "weights/weights_error.h"

namespace sr {

nlohmann::json parse_json_object(std::string_view text, const std::string& what) {
  using nlohmann::json;
  constexpr int max_depth = 16;
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > max_depth)
      throw WeightsError(fmt::format("{}: its JSON is nested deeper than {} levels", what, max_depth));
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      throw WeightsError(fmt::format("{}: its JSON has the key {} twice", what, shown(parsed.get<std::string>())));
    return true;
  };
  json value;
  try {
    value = json::parse(text.begin(), text.end(), check);
  } catch (const json::exception& e) {
    throw WeightsError(fmt::format("{}: its JSON cannot be read ({})", what, e.what()));
  }
  if (!value.is_object()) throw WeightsError(fmt::format("{}: is not a JSON object", what));
  return value;
}

}  // namespace sr
