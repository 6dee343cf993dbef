#include "tools/results.h"

#include <fmt/core.h>

#include <map>
#include <span>

#include "engine/nifti.h"
#include "engine/status.h"
#include "tools/scan_transform.h"

namespace sr {
namespace {

void finish(TemporaryFile& file, std::span<const std::byte> bytes) {
  file.append(bytes);
  file.close();
  file.publish();
}

// Paths are bytes; what is not UTF-8 in them is replaced rather than refused.
std::string text_of(const nlohmann::json& json) {
  return json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace

void write_bytes(const std::filesystem::path& path, const std::vector<uint8_t>& bytes) {
  TemporaryFile file(path);
  finish(file, std::as_bytes(std::span(bytes)));
}

void write_text(const std::filesystem::path& path, const std::string& text) {
  TemporaryFile file(path);
  finish(file, std::as_bytes(std::span(text)));
}

void write_json(const std::filesystem::path& path, const nlohmann::json& json) {
  write_text(path, text_of(json));
}

JsonFile::JsonFile(const std::filesystem::path& path) : file_(path) {}

void JsonFile::write(const nlohmann::json& json) {
  const std::string text = text_of(json);
  finish(file_, std::as_bytes(std::span(text)));
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

}  // namespace sr
