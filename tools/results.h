// Files that the program writes beside volumes: JSON, tables, pictures, reports. Each appears whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/nifti_sink.h"

namespace sr {

// Throw Error{bad_output}.
void write_bytes(const std::filesystem::path& path, const std::vector<uint8_t>& bytes);
void write_text(const std::filesystem::path& path, const std::string& text);
void write_json(const std::filesystem::path& path, const nlohmann::json& json);

// A JSON file whose place is tried before the work begins and that is written when it is done.
class JsonFile {
 public:
  explicit JsonFile(const std::filesystem::path& path);
  void write(const nlohmann::json& json);

 private:
  TemporaryFile file_;
};

// Throws Error{bad_usage} where a result would land on a file that is read, or on another result. Empty names are
// results that are not wanted. Scans are compared however they are named (scan_identity).
void refuse_collisions(const std::vector<std::filesystem::path>& read,
                       const std::vector<std::filesystem::path>& results);

// A JSON, table or picture named like a scan is a scan that lost its place on the command line. Throws
// Error{bad_usage}.
void refuse_scan_name(const char* option, const std::filesystem::path& result);

}  // namespace sr
