#include "engine/images/intensity.h"

#include <algorithm>
#include <cmath>

namespace sr {
namespace {

double mean_of(const std::vector<float>& v) {
  double sum = 0;
  for (const float x : v) sum += x;
  return sum / static_cast<double>(v.size());
}

double standard_deviation(const std::vector<float>& v, double mean) {
  double sum = 0;
  for (const float x : v) sum += (x - mean) * (x - mean);
  return std::sqrt(sum / static_cast<double>(v.size()));
}

double foreground_mean(const std::vector<float>& v, double mean) {
  double sum = 0;
  int64_t n = 0;
  for (const float x : v)
    if (x > mean) sum += x, n++;
  return n ? sum / static_cast<double>(n) : 0;
}

// Linear interpolation between order statistics, as numpy.percentile does.
double percentile(std::vector<float> v, double percent) {
  const double at = percent / 100 * static_cast<double>(v.size() - 1);
  const auto low = v.begin() + static_cast<ptrdiff_t>(at);
  std::nth_element(v.begin(), low, v.end());
  const double fraction = at - std::floor(at);
  if (fraction == 0) return *low;
  const float high = *std::min_element(low + 1, v.end());
  return *low + fraction * (high - *low);
}

}  // namespace

Intensity measure_intensity(const Normalization& rule, const Volume& volume) {
  using Kind = Normalization::Kind;
  Intensity result;
  switch (rule.kind) {
    case Kind::none:
      break;
    case Kind::scale:
      result.b = rule.by;
      break;
    case Kind::zscore:
      result.a = mean_of(volume.data);
      result.b = standard_deviation(volume.data, result.a);
      break;
    case Kind::foreground:
      result.b = foreground_mean(volume.data, mean_of(volume.data));
      break;
    case Kind::percentile:
      result.b = percentile(volume.data, rule.by);
      break;
  }
  if (!(std::abs(result.b) > 0) || !std::isfinite(result.b)) result.b = 1;
  return result;
}

}  // namespace sr
