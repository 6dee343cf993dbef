// What the tests of commands on images share: calls that must succeed or be refused, small volumes in and out.
#pragma once

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "engine/nifti/nifti.h"
#include "tests/support/catch.h"
#include "tests/support/program.h"

namespace sr::test {

using Words = std::vector<std::string>;

inline bool holds(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

inline std::vector<std::string> files_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.push_back(entry.path().filename());
  std::sort(names.begin(), names.end());
  return names;
}

inline Outcome done(const TemporaryFolder& folder, const Words& words) {
  const Outcome o = srengine(folder.path(), words);
  INFO(words[0] << "\n" << o.err);
  REQUIRE(o.code == 0);
  return o;
}

// The call fails with this code and one sentence that holds `hint`; nothing is printed, made or left behind.
inline void refused(const TemporaryFolder& folder, const Words& words, int code, const std::string& hint) {
  const std::vector<std::string> before = files_in(folder.path());
  const Outcome o = srengine(folder.path(), words);
  std::string call;
  for (const std::string& word : words) call += word + " ";
  INFO(call << "\n" << o.err);
  CHECK(o.code == code);
  CHECK(o.out.empty());
  // Behind run's note on network and machine, if it came that far.
  const size_t at = o.err.find("srengine: ");
  REQUIRE(at != std::string::npos);
  CHECK((at == 0 || words[0] == "run"));
  CHECK(o.err.find(hint, at) != std::string::npos);
  CHECK(std::count(o.err.begin() + static_cast<ptrdiff_t>(at), o.err.end(), '\n') == 1);
  CHECK(files_in(folder.path()) == before);
}

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
