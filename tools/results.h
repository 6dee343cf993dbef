// Files that the program writes beside volumes: JSON, tables, pictures, reports. Each appears whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/nifti/nifti_sink.h"

namespace sr {

// A file whose place is tried before the work begins, that is filled when it is done and then appears: the last apart,
// so that of several results all appear or none does. Throws Error{bad_output}.
class ResultFile {
 public:
  explicit ResultFile(const std::filesystem::path& path) : file_(path) {}
  void fill(const std::vector<uint8_t>& bytes);
  void fill(const std::string& text);
  void fill(const nlohmann::json& json);
  void publish() { file_.publish(); }

 private:
  TemporaryFile file_;
};

// The file that an option such as "--csv" names; none where the name is empty. Throws Error{bad_usage} where the name
// is a scan's: a JSON, table or picture named like one is a scan that lost its place on the command line.
std::unique_ptr<ResultFile> open_result(const char* option, const std::filesystem::path& name);

// A JSON file by itself.
class JsonFile {
 public:
  explicit JsonFile(const std::filesystem::path& path) : file_(path) {}
  void write(const nlohmann::json& json) { file_.fill(json), file_.publish(); }

 private:
  ResultFile file_;
};
void write_json(const std::filesystem::path& path, const nlohmann::json& json);

// Throws Error{bad_usage} where a result would land on a file that is read, or on another result. Empty names are
// results that are not wanted. Scans are compared however they are named (scan_identity).
void refuse_collisions(const std::vector<std::filesystem::path>& read,
                       const std::vector<std::filesystem::path>& results);

// The refusal of open_result by itself.
void refuse_scan_name(const char* option, const std::filesystem::path& result);

// A field of a CSV line, in quotes where it needs them (RFC 4180).
std::string csv_field(const std::string& text);

}  // namespace sr
