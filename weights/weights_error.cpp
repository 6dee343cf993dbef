#include "weights/weights_error.h"

#include <algorithm>

#include "engine/base/printable.h"

namespace sr {

std::string shown(std::string_view name) {
  constexpr size_t most = 80;
  return "'" + printable(std::string(name.substr(0, most))) + (name.size() > most ? "...'" : "'");
}

std::string shown_list(const std::vector<std::string>& names) {
  constexpr size_t most = 8;
  std::string text;
  for (size_t i = 0; i < std::min(most, names.size()); ++i) text += (i ? ", " : "") + shown(names[i]);
  if (names.size() > most) text += " and " + std::to_string(names.size() - most) + " more";
  return text;
}

}  // namespace sr
