#include "tools/degrade_sidecar.h"

#include <fmt/core.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/base/status.h"
#include "engine/nifti/nifti.h"
#include "tools/scan_transform.h"

namespace sr {

int Degradation::plane() const {
  for (int axis = 2; axis >= 0; --axis)
    if (factors[axis] == 1) return axis;
  return 2;
}

// Of linear interpolation by a factor that is not whole (181 -> 91 -> 181) nothing is known for certain.
std::optional<Measured> surely_measured(const Degradation& d) {
  if (d.grid == Grid::native || d.way_back == Interpolation::linear || d.factors == Factors{1, 1, 1}) return {};
  return Measured{d.factors, d.way_back, kDefaultConsistencyWeight};
}

std::filesystem::path sidecar_name(const ScanName& scan) {
  return scan.checked().with(".json");
}

namespace {

// What a sidecar holds; null where there is no file or one too long to be one, discarded where it is no JSON.
nlohmann::json read_sidecar(const std::filesystem::path& name) {
  constexpr std::streamsize longest = 1 << 20;  // ours has some hundred bytes; BIDS sidecars some ten thousand
  std::ifstream file(name, std::ios::binary | std::ios::ate);
  if (!file) return nullptr;
  if (file.tellg() > longest) return nlohmann::json();
  file.seekg(0);
  return nlohmann::json::parse(file, nullptr, false);
}

}  // namespace

DegradationFile::DegradationFile(const std::filesystem::path& scan, const std::filesystem::path& source)
    : source_(source.filename().string()), file_(sidecar_name(scan)) {
  const std::filesystem::path name = sidecar_name(scan);
  if (scan_identity(scan) != scan_identity(source) && scan_identity(name) == scan_identity(sidecar_name(source)))
    throw Error(Status::bad_usage, fmt::format("{} would describe both {} and {}; -o takes another name", name.string(),
                                               source.string(), scan.string()));
  if (!std::filesystem::exists(name)) return;
  kept_ = read_sidecar(name);
  if (!kept_.is_object())
    throw Error(Status::bad_output,
                fmt::format("{} is there already and is no JSON sidecar that could be added to; move "
                            "it away or choose another -o",
                            name.string()));
}

void DegradationFile::write(const Degradation& d) {
  nlohmann::json axes = nlohmann::json::array();
  for (size_t axis = 0; axis < 3; ++axis)
    if (d.factors[axis] != 1) axes.push_back(std::string(1, "ijk"[axis]));
  nlohmann::json degradation{{"factor", d.factors},
                             {"axes", axes},
                             {"grid", d.grid == Grid::input ? "input" : "native"},
                             {"kind", "k-space truncation"}};
  if (d.grid == Grid::input) degradation["method"] = to_string(d.way_back);
  if (d.noise > 0) degradation["noise"] = {{"kind", "Rician"}, {"sd", d.noise}, {"seed", d.seed}};
  nlohmann::json sidecar = kept_.is_object() ? kept_ : nlohmann::json::object();
  sidecar["program"] = "srengine";
  sidecar["version"] = SRENGINE_VERSION;
  sidecar["source"] = source_;
  sidecar["degradation"] = degradation;
  file_.write(sidecar);
}

bool has_degradation(const ScanName& scan) {
  if (!scan.is_scan()) return false;
  const nlohmann::json json = read_sidecar(sidecar_name(scan));
  return json.is_object() && json.contains("degradation");
}

std::optional<Degradation> read_degradation(const ScanName& scan) {
  const std::filesystem::path name = sidecar_name(scan);
  const nlohmann::json json = read_sidecar(name);
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
