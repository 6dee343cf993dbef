// Networks of every variant with their outputs in float64 (tests/golden/network/make_golden.py).
#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/pipeline.h"
#include "tests/support/catch.h"

namespace sr {

inline const std::filesystem::path golden_folder = std::filesystem::path(SR_TEST_DATA) / "golden/network";
constexpr Size3 kGoldenSize{9, 10, 13};

inline std::vector<std::string> golden_variants() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(golden_folder))
    if (entry.path().extension() == ".bin") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

// Volume `index` of a golden file: 0 the input, then 1 + batch-norm mode.
inline std::vector<double> golden_volume(const std::string& name, int index) {
  std::vector<double> v(static_cast<size_t>(kGoldenSize.voxels()));
  std::ifstream file(golden_folder / (name + ".f64"), std::ios::binary);
  file.seekg(static_cast<std::streamoff>(v.size() * sizeof(double)) * index);
  file.read(reinterpret_cast<char*>(v.data()), static_cast<std::streamsize>(v.size() * sizeof(double)));
  REQUIRE(file.good());
  return v;
}

inline Volume to_volume(const std::vector<double>& v) {
  Volume volume(kGoldenSize);
  for (size_t i = 0; i < v.size(); i++) volume.data[i] = static_cast<float>(v[i]);
  return volume;
}

// The patches that the golden volumes were made with.
inline RestoreOptions small_patches(BackendKind kind) {
  RestoreOptions options;
  options.backend.kind = kind;
  options.backend.patch = {8, 8, 8};
  options.backend.threads = 2;
  options.margin = 1;
  return options;
}

// Largest |result - expected| in units of the expected volume's rms; NaN counts as infinite.
inline double worst_error(const Volume& result, const std::vector<double>& expected) {
  double worst = 0, squares = 0;
  for (size_t i = 0; i < expected.size(); i++) {
    const double e = std::abs(result.data[i] - expected[i]);
    worst = std::isfinite(e) ? std::max(worst, e) : INFINITY;
    squares += expected[i] * expected[i];
  }
  return worst / std::sqrt(squares / static_cast<double>(expected.size()));
}

inline Volume wavy(Size3 size) {
  Volume v(size);
  for (int z = 0; z < size.d; z++)
    for (int y = 0; y < size.h; y++)
      for (int x = 0; x < size.w; x++)
        v.at(z, y, x) = static_cast<float>(2 + std::sin(0.9 * x) * std::cos(0.7 * y) + std::cos(0.5 * z + 0.3 * x));
  return v;
}

}  // namespace sr
