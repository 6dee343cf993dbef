#include "tools/common/parse.h"

#include <fmt/core.h>

#include <charconv>
#include <cmath>
#include <optional>
#include <vector>

#include "engine/base/status.h"

namespace sr {
namespace {

// The whole of text as one finite number, or nothing.
std::optional<double> number(const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) return {};
  return value;
}

// "AxBxC" as numbers; fewer or more than three, or anything else, gives nothing.
std::optional<std::array<double, 3>> triple(const std::string& text) {
  std::array<double, 3> values{};
  size_t start = 0;
  for (size_t i = 0; i < 3; i++) {
    const size_t end = i < 2 ? text.find('x', start) : text.size();
    if (end == std::string::npos) return {};
    const std::optional<double> value = number(text.substr(start, end - start));
    if (!value) return {};
    values[i] = *value;
    start = end + 1;
  }
  return values;
}

bool whole_between(double v, double low, double high) {
  return v >= low && v <= high && v == std::floor(v);
}

// i x j x k in whole voxels up to `limit`.
std::optional<Size3> voxels(const std::string& text, double limit) {
  const auto t = triple(text);
  if (!t) return {};
  for (const double v : *t)
    if (!whole_between(v, 1, limit)) return {};
  return Size3{static_cast<int>((*t)[2]), static_cast<int>((*t)[1]), static_cast<int>((*t)[0])};
}

}  // namespace

Factors parse_factors(const std::string& text) {
  const auto t = triple(text);
  if (t && (*t)[0] >= 1 && (*t)[1] >= 1 && (*t)[2] >= 1) return *t;
  throw Error(Status::bad_usage,
              fmt::format("'{}' is no set of factors; three numbers of at least 1 are, such as 2x2x1", text));
}

Size3 parse_size(const std::string& text) {
  if (const auto size = voxels(text, 32767)) return *size;
  throw Error(Status::bad_usage,
              fmt::format("'{}' is no size; three whole numbers from 1 to 32767 are, such as 181x217x181", text));
}

std::array<double, 3> parse_voxel_mm(const std::string& text) {
  const auto t = triple(text);
  if (t && (*t)[0] > 0 && (*t)[1] > 0 && (*t)[2] > 0) return *t;
  throw Error(Status::bad_usage,
              fmt::format("'{}' is no voxel size; three numbers in mm above 0 are, such as 1x1x1.2", text));
}

Size3 parse_patch(const std::string& text) {
  if (const auto n = number(text); n && whole_between(*n, 1, 1024)) {
    const int edge = static_cast<int>(*n);
    return {edge, edge, edge};
  }
  if (const auto size = voxels(text, 1024)) return *size;
  throw Error(Status::bad_usage,
              fmt::format("'{}' is no patch size; 70 or 70x70x40 are, with each edge from 1 to 1024 voxels", text));
}

int64_t parse_bytes(const std::string& text) {
  double unit = 1;
  std::string digits = text;
  if (!text.empty()) {
    const size_t exponent = std::string("KMGT").find(text.back());
    if (exponent != std::string::npos) {
      unit = std::pow(1024.0, static_cast<double>(exponent + 1));
      digits.pop_back();
    }
  }
  const std::optional<double> value = number(digits);
  if (value && *value > 0 && *value * unit < 9e15) return static_cast<int64_t>(*value * unit);
  throw Error(Status::bad_usage, fmt::format("'{}' is no amount of memory; 2G, 500M or a number of bytes are", text));
}

}  // namespace sr
