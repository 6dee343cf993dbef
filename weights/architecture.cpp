#include "weights/architecture.h"

#include <fmt/format.h>

#include <algorithm>

#include "weights/weights_error.h"

namespace sr {

std::optional<ModelDescription> Architecture::parse_name(std::string_view text) const {
  if (text != name()) return {};
  return usual();
}

ModelDescription Architecture::usual() const {
  ModelDescription model;
  model.architecture = this;
  for (const SizeSetting& size : sizes()) model.*size.member = size.usual;
  return model;
}

ModelDescription Architecture::sized(const std::vector<int64_t>& values, const std::string& where) const {
  ModelDescription model = usual();
  const std::vector<SizeSetting> list = sizes();
  for (size_t i = 0; i < list.size(); ++i) {
    const int64_t value = values.at(i);
    if (value < 1 || value > list[i].most)
      throw WeightsError(fmt::format("{}: read as {}, its layers' numbers and widths fit no network", where, name()));
    model.*list[i].member = static_cast<int>(value);
  }
  return model;
}

const std::vector<const Architecture*>& architectures::all() {
#define SRENGINE_ADDRESS(name) &name(),
  static const std::vector<const Architecture*> list = {SRENGINE_NETWORKS(SRENGINE_ADDRESS)};
#undef SRENGINE_ADDRESS
  return list;
}

const std::vector<const Architecture*>& architectures::by_recognition() {
  static const std::vector<const Architecture*> list = [] {
    std::vector<const Architecture*> rotated = all();
    std::rotate(rotated.begin(), rotated.begin() + 1, rotated.end());
    return rotated;
  }();
  return list;
}

const Architecture& architectures::by_name(const std::string& name) {
  std::string known;
  for (const Architecture* architecture : all()) {
    if (architecture->name() == name) return *architecture;
    known += (known.empty() ? "" : ", ") + architecture->name();
  }
  throw WeightsError(fmt::format("architecture '{}' is unknown; there are {}", name, known));
}

const Architecture& default_architecture() {
  return *architectures::all().front();
}

}  // namespace sr
