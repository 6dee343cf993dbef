#include "tools/degrade_sidecar.h"

#include <fmt/core.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/nifti.h"
#include "engine/status.h"
#include "tools/run_report.h"

namespace sr {

int Degradation::plane() const {
  for (int axis = 2; axis >= 0; --axis)
    if (factors[static_cast<size_t>(axis)] == 1) return axis;
  return 2;
}

std::filesystem::path sidecar_name(const std::filesystem::path& scan) {
  std::filesystem::path name = split_scan_name(scan).stem;
  name += ".json";
  return name;
}

void write_degradation(const std::filesystem::path& scan, const std::filesystem::path& source, const Degradation& d) {
  nlohmann::json axes = nlohmann::json::array();
  for (size_t axis = 0; axis < 3; ++axis)
    if (d.factors[axis] != 1) axes.push_back(std::string(1, "ijk"[axis]));
  nlohmann::json degradation{{"factor", d.factors},
                             {"axes", axes},
                             {"grid", d.grid == Grid::input ? "input" : "native"},
                             {"kind", "k-space truncation"}};
  if (d.grid == Grid::input) degradation["method"] = to_string(d.way_back);
  write_json(sidecar_name(scan), {{"program", "srengine"},
                                  {"version", SRENGINE_VERSION},
                                  {"source", source.filename().string()},
                                  {"degradation", degradation}});
}

std::optional<Degradation> read_degradation(const std::filesystem::path& scan) {
  constexpr std::streamsize longest = 1 << 20;  // ours has some hundred bytes; BIDS sidecars some ten thousand
  const std::filesystem::path name = sidecar_name(scan);
  std::ifstream file(name, std::ios::binary | std::ios::ate);
  if (!file || file.tellg() > longest) return {};
  file.seekg(0);
  const nlohmann::json json = nlohmann::json::parse(file, nullptr, false);
  if (!json.is_object() || !json.contains("degradation")) return {};
  try {
    const nlohmann::json& from = json.at("degradation");
    Degradation d;
    d.factors = from.at("factor").get<Factors>();
    d.grid = from.at("grid") == "native" ? Grid::native : Grid::input;
    if (from.value("method", "linear") == "sinc") d.way_back = Interpolation::sinc;
    return d;
  } catch (const nlohmann::json::exception&) {
    throw Error(Status::bad_input, fmt::format("{}: the description of a degradation is damaged; delete the file or "
                                               "make it again with srengine degrade",
                                               name.string()));
  }
}

}  // namespace sr
