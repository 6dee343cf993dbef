#include "tools/results.h"

#include <fmt/core.h>

#include <map>
#include <span>

#include "engine/base/status.h"
#include "engine/nifti/nifti.h"
#include "tools/scan_transform.h"

namespace sr {
namespace {

void fill_with(TemporaryFile& file, std::span<const std::byte> bytes) {
  file.append(bytes);
  file.close();
}

// Paths are bytes; what is not UTF-8 in them is replaced rather than refused.
std::string text_of(const nlohmann::json& json) {
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

void ResultFile::fill(const std::vector<uint8_t>& bytes) {
  fill_with(file_, std::as_bytes(std::span(bytes)));
}

void ResultFile::fill(const std::string& text) {
  fill_with(file_, std::as_bytes(std::span(text)));
}

void ResultFile::fill(const nlohmann::json& json) {
  fill(text_of(json));
}

std::unique_ptr<ResultFile> open_result(const char* option, const std::filesystem::path& name) {
  if (name.empty()) return nullptr;
  refuse_scan_name(option, name);
  return std::make_unique<ResultFile>(name);
}

void write_json(const std::filesystem::path& path, const nlohmann::json& json) {
  JsonFile(path).write(json);
}

void refuse_collisions(const std::vector<std::filesystem::path>& read,
                       const std::vector<std::filesystem::path>& results) {
  std::map<std::filesystem::path, std::filesystem::path> taken;  // identity -> how it was named
  for (const std::filesystem::path& result : results) {
    if (result.empty()) continue;
    const auto [other, fresh] = taken.emplace(scan_identity(result), result);
    if (!fresh)
      throw Error(Status::bad_usage, fmt::format("{} and {} are one file, which cannot take two results; give them two "
                                                 "names",
                                                 other->second.string(), result.string()));
  }
  for (const std::filesystem::path& input : read)
    if (const auto at = taken.find(scan_identity(input)); at != taken.end())
      throw Error(Status::bad_usage,
                  fmt::format("{} would be overwritten by a result of this call ({}); give the result "
                              "another name",
                              input.string(), at->second.string()));
}

void refuse_scan_name(const char* option, const std::filesystem::path& result) {
  if (is_scan_name(result))
    throw Error(Status::bad_usage,
                fmt::format("{} {} is the name of a scan; did {} lose its own name?", option, result.string(), option));
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

}  // namespace sr
