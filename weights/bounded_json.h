// JSON out of files that nobody vouches for.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace sr {

// Parses a JSON object, in time proportional to its length. Throws WeightsError, starting with `what`, where it is no
// JSON object, is nested deeper than 16 levels, has more than a million values (the largest network's header has
// 600,000; a value of two letters takes a hundred bytes of memory) or names a key twice (readers disagree about which
// one counts).
nlohmann::json parse_json_object(std::string_view text, const std::string& what);

}  // namespace sr
