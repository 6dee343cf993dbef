// What the tests of commands on images share: small volumes in and out, tables and JSON.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "engine/nifti/nifti.h"
#include "tests/support/program_checks.h"

namespace sr::test {

inline Volume filled(Size3 size, const std::function<double(int z, int y, int x)>& value) {
  Volume v(size);
  for (int z = 0; z < size.d; z++)
    for (int y = 0; y < size.h; y++)
      for (int x = 0; x < size.w; x++) v.at(z, y, x) = static_cast<float>(value(z, y, x));
  return v;
}

// 0, 1, 2, ..., all with the same error.
inline Volume ramp(Size3 size, double error = 0) {
  Volume v(size);
  for (size_t i = 0; i < v.data.size(); i++) v.data[i] = static_cast<float>(static_cast<double>(i) + error);
  return v;
}

inline void write_scan(const std::filesystem::path& path, const Volume& volume, double slice_mm = 1) {
  const double voxel_mm[3] = {1, 1, slice_mm};
  ScanWriter writer(path, volume.size, voxel_mm, {});
  writer.write(volume);
  writer.commit();
}

inline Volume read_scan(const std::filesystem::path& path) {
  return ScanReader(path).read(0);
}

inline std::string read_text(const std::filesystem::path& path) {
  const Bytes bytes = read_bytes(path);
  return {bytes.begin(), bytes.end()};
}

inline nlohmann::json read_json(const std::filesystem::path& path) {
  return nlohmann::json::parse(read_text(path));
}

using Rows = std::vector<std::vector<std::string>>;

// RFC 4180: fields in quotes may hold commas, and quotes twice.
inline Rows parse_csv(const std::string& text) {
  Rows rows;
  std::vector<std::string> row;
  std::string field;
  bool quoted = false;
  for (size_t i = 0; i < text.size(); i++) {
    const char c = text[i];
    if (quoted && c == '"' && text[i + 1] == '"') {
      field += text[++i];
    } else if (c == '"') {
      quoted = !quoted;
    } else if (!quoted && (c == ',' || c == '\n')) {
      row.push_back(field);
      field.clear();
      if (c == '\n') rows.push_back(std::exchange(row, {}));
    } else {
      field += c;
    }
  }
  CHECK(field.empty());  // the last line ends
  return rows;
}

inline std::set<std::string> keys_of(const nlohmann::json& json) {
  std::set<std::string> keys;
  for (const auto& [key, unused] : json.items()) keys.insert(key);
  return keys;
}

}  // namespace sr::test
