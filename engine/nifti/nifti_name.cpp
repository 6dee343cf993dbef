#include "engine/nifti/nifti_name.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "engine/base/status.h"

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

}  // namespace

ScanName::ScanName(std::filesystem::path given) : path(std::move(given)), stem(path) {
  const std::string name = path.filename().string(), lower = to_case(name, false);
  for (const std::string known : kExtensions) {
    if (lower.size() > known.size() && lower.ends_with(known)) {
      stem = path.parent_path() / name.substr(0, name.size() - known.size());
      extension = known;
      return;
    }
  }
}

std::filesystem::path ScanName::with(const std::string& ending) const {
  std::filesystem::path beside = stem;
  return beside += ending;
}

const ScanName& ScanName::checked() const {
  if (is_scan()) return *this;
  throw Error(Status::bad_usage,
              fmt::format("{} is not a scan's name; use one that ends in .nii, .nii.gz, .hdr or .img", path.string()));
}

ScanName split_scan_name(const std::filesystem::path& path) {
  return ScanName(path).checked();
}

bool is_scan_name(const std::filesystem::path& path) {
  return ScanName(path).is_scan();
}

std::vector<std::filesystem::path> find_siblings(const ScanName& name, const std::string& extension) {
  const bool gzip = name.is_gzip(), upper = name.string().ends_with(to_case(name.extension, true));
  std::vector<std::filesystem::path> found;
  for (const bool its_gzip : {gzip, !gzip}) {
    for (const bool its_upper : {upper, !upper}) {
      const std::filesystem::path sibling = name.with(to_case(its_gzip ? extension + ".gz" : extension, its_upper));
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
