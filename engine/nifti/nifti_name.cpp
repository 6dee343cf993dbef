#include "engine/nifti/nifti_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "engine/nifti/nifti.h"

namespace sr {
namespace {

constexpr std::array<const char*, 6> kExtensions{".nii.gz", ".hdr.gz", ".img.gz", ".nii", ".hdr", ".img"};

// ASCII only: what is not a letter of an extension is left as it is, UTF-8 included.
std::string to_case(std::string text, bool upper) {
  std::transform(text.begin(), text.end(), text.begin(), [upper](char c) {
    if (upper) return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return text;
}

std::optional<ScanName> try_split(const std::filesystem::path& path) {
  const std::string name = path.filename().string();
  const std::string lower = to_case(name, false);
  for (const std::string extension : kExtensions) {
    if (lower.size() > extension.size() && lower.ends_with(extension)) {
      return ScanName{path.parent_path() / name.substr(0, name.size() - extension.size()), extension};
    }
  }
  return std::nullopt;
}

bool has_extension(const std::filesystem::path& path, const std::string& extension) {
  const std::optional<ScanName> name = try_split(path);
  return name && name->extension.starts_with(extension);
}

}  // namespace

bool is_scan_name(const std::filesystem::path& path) {
  return try_split(path).has_value();
}

ScanName split_scan_name(const std::filesystem::path& path) {
  if (const std::optional<ScanName> name = try_split(path)) return *name;
  throw Error(Status::bad_usage,
              fmt::format("{} is not a scan's name; use one that ends in .nii, .nii.gz, .hdr or .img", path.string()));
}

bool is_pair_name(const std::filesystem::path& path) {
  return has_extension(path, ".hdr") || is_image_name(path);
}
bool is_image_name(const std::filesystem::path& path) {
  return has_extension(path, ".img");
}
bool is_gzip_name(const std::filesystem::path& path) {
  return to_case(path.extension().string(), false) == ".gz";
}

std::vector<std::filesystem::path> find_siblings(const std::filesystem::path& path, const std::string& extension) {
  const ScanName name = split_scan_name(path);
  const bool gzip = is_gzip_name(path), upper = path.string().ends_with(to_case(name.extension, true));
  std::vector<std::filesystem::path> found;
  for (const bool its_gzip : {gzip, !gzip}) {
    for (const bool its_upper : {upper, !upper}) {
      std::filesystem::path sibling = name.stem;
      sibling += to_case(its_gzip ? extension + ".gz" : extension, its_upper);
      std::error_code ignored;
      if (!std::filesystem::exists(sibling, ignored)) continue;
      // Where the file system knows no case, both spellings are one file.
      const bool known = std::any_of(found.begin(), found.end(), [&](const std::filesystem::path& other) {
        return std::filesystem::equivalent(sibling, other, ignored);
      });
      if (!known) found.push_back(sibling);
    }
  }
  return found;
}

}  // namespace sr
