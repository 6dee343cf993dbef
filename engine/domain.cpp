#include "engine/domain.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <vector>

namespace sr {
namespace {

std::optional<std::array<double, 2>> range_of(const nlohmann::json& domain, const char* key) {
  const auto at = domain.find(key);
  if (at == domain.end() || !at->is_array() || at->size() != 2 || !(*at)[0].is_number() || !(*at)[1].is_number())
    return {};
  return std::array<double, 2>{(*at)[0].get<double>(), (*at)[1].get<double>()};
}

bool outside(double value, const std::array<double, 2>& range) {
  return !(value >= range[0] && value <= range[1]);
}

// Share of voxels above the mean, and the 99.8th percentile over their mean. Nothing of a constant volume.
struct Shape {
  double foreground, peak;
};
std::optional<Shape> shape_of(const Volume& volume) {
  double sum = 0;
  for (const float v : volume.data) sum += v;
  const double mean = sum / static_cast<double>(volume.data.size());
  double above = 0;
  int64_t n = 0;
  for (const float v : volume.data)
    if (v > mean) above += v, n++;
  if (n == 0 || !(above > 0)) return {};
  std::vector<float> values = volume.data;
  const auto nth = values.begin() + static_cast<ptrdiff_t>(0.998 * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), nth, values.end());
  return Shape{static_cast<double>(n) / static_cast<double>(values.size()), *nth / (above / static_cast<double>(n))};
}

}  // namespace

std::optional<Domain> domain_of(const nlohmann::json& provenance) {
  const auto at = provenance.is_object() ? provenance.find("domain") : provenance.end();
  if (!provenance.is_object() || at == provenance.end() || !at->is_object()) return {};
  Domain domain;
  if (const auto modality = at->find("modality"); modality != at->end() && modality->is_string())
    domain.modality = modality->get<std::string>();
  domain.voxel_mm = range_of(*at, "voxel_mm");
  domain.foreground = range_of(*at, "foreground");
  domain.peak = range_of(*at, "peak");
  return domain;
}

std::string modality_of(const ScanName& scan) {
  static constexpr std::array<std::string_view, 17> known{"T1w",   "T2w",   "T2star", "FLAIR",     "PDw",       "PDT2",
                                                          "UNIT1", "T1map", "T2map",  "inplaneT1", "inplaneT2", "bold",
                                                          "sbref", "dwi",   "asl",    "angio",     "ct"};
  const std::string stem = scan.checked().stem.filename().string();
  const size_t at = stem.rfind('_');
  if (at == std::string::npos) return {};
  const std::string suffix = stem.substr(at + 1);
  return std::find(known.begin(), known.end(), suffix) == known.end() ? std::string() : suffix;
}

std::string outside_domain(const Domain& domain, const Volume& volume, const std::array<double, 3>& voxel_mm,
                           const ScanName& name) {
  std::vector<std::string> why;
  const std::string modality = modality_of(name);
  if (!domain.modality.empty() && !modality.empty() && modality != domain.modality)
    why.push_back(fmt::format("its name says {}, not {}", modality, domain.modality));
  if (domain.voxel_mm)
    for (const double edge : voxel_mm)
      if (outside(edge, *domain.voxel_mm)) {
        why.push_back(fmt::format("voxels of {:.3g} x {:.3g} x {:.3g} mm, not {:.3g} to {:.3g}", voxel_mm[0],
                                  voxel_mm[1], voxel_mm[2], (*domain.voxel_mm)[0], (*domain.voxel_mm)[1]));
        break;
      }
  const std::optional<Shape> shape = shape_of(volume);
  if (!shape)
    why.push_back("it is constant");
  else {
    if (domain.foreground && outside(shape->foreground, *domain.foreground))
      why.push_back(fmt::format("{:.0f} % of its voxels lie above the mean, not {:.0f} to {:.0f}",
                                100 * shape->foreground, 100 * (*domain.foreground)[0], 100 * (*domain.foreground)[1]));
    if (domain.peak && outside(shape->peak, *domain.peak))
      why.push_back(fmt::format("its brightest voxels are {:.2g} times its tissue, not {:.2g} to {:.2g}", shape->peak,
                                (*domain.peak)[0], (*domain.peak)[1]));
  }
  if (why.empty()) return {};
  return fmt::format("this scan is unlike those the weights were trained on ({}); look at the result with care",
                     fmt::join(why, "; "));
}

}  // namespace sr
