// What the tests of reading and of writing scans share: fixtures written by nibabel, copies, errors.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>

#include "engine/nifti/nifti.h"
#include "engine/nifti/nifti_check.h"
#include "tests/support/catch.h"
#include "tests/support/scan_files.h"

namespace sr::test {

namespace fs = std::filesystem;

inline const fs::path kGolden = fs::path(SR_TEST_DATA) / "golden" / "nifti";

inline const nlohmann::json& expected() {
  static const nlohmann::json json = nlohmann::json::parse(std::ifstream(kGolden / "expected.json"));
  return json;
}

inline std::vector<float> read_all(ScanReader& scan, int64_t* n_nonfinite = nullptr) {
  std::vector<float> values;
  int64_t total = 0;
  for (int64_t t = 0; t < scan.info().n_volumes; ++t) {
    int64_t n = 0;
    const Volume volume = scan.read(t, &n);
    values.insert(values.end(), volume.data.begin(), volume.data.end());
    total += n;
  }
  if (n_nonfinite != nullptr) *n_nonfinite = total;
  return values;
}

inline void copy_scan(const fs::path& from, const fs::path& to, const ScanWriter::Options& options) {
  ScanReader scan(from);
  ScanWriter writer(to, scan, options);
  for (int64_t t = 0; t < scan.info().n_volumes; ++t) writer.write(scan.read(t));
  writer.commit();
}

// Header fields of a file, machine order, through the checks.
inline nifti_2_header fields_of(const fs::path& path) {
  const Bytes bytes = read_unzipped(path);
  Findings findings;
  return check_header(std::as_bytes(std::span(bytes)), findings).value().fields;
}

// nibabel and nifticlib both compute a qform in double from the same float32 quaternion; sizes are below 100.
constexpr double kMatrixTolerance = 1e-5;

inline void check_matrix(const double (&m)[4][4], const nlohmann::json& reference) {
  for (size_t i = 0; i < 4; ++i) {
    for (size_t j = 0; j < 4; ++j) {
      CAPTURE(i, j);
      CHECK(m[i][j] == Approx(reference[i][j].get<double>()).margin(kMatrixTolerance));
    }
  }
}

inline Volume ramp(Size3 size) {
  Volume volume(size);
  for (size_t i = 0; i < volume.data.size(); ++i) volume.data[i] = static_cast<float>(i) - 7.25f;
  return volume;
}

inline Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e;
  }
  FAIL("no error was thrown");
  throw;  // not reached
}

}  // namespace sr::test
