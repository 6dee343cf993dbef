// Names of scans: .nii, .hdr and .img, each with or without .gz, in either case.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace sr {

// A name, taken apart once: whoever needs a part of it is handed this. "dir/scan.v2.NII.gz" has the stem "dir/scan.v2"
// and the extension ".nii.gz". Any path is one; where it is no scan's, all of it is stem. Paths turn into names by
// themselves.
struct ScanName {
  ScanName() = default;  // none: something that is not wanted
  ScanName(std::filesystem::path given);  // NOLINT(google-explicit-constructor)
  // NOLINTNEXTLINE(google-explicit-constructor)
  ScanName(const char* given) : ScanName(std::filesystem::path(given)) {}

  std::filesystem::path path;  // as it was given
  std::filesystem::path stem;
  std::string extension;  // lower case; "" where the name is no scan's

  bool empty() const { return path.empty(); }
  std::string string() const { return path.string(); }
  bool is_scan() const { return !extension.empty(); }
  bool is_image() const { return extension.starts_with(".img"); }
  bool is_pair() const { return extension.starts_with(".hdr") || is_image(); }
  bool is_gzip() const { return extension.ends_with(".gz"); }

  // "dir/scan" + "_sr.nii.gz", beside it.
  std::filesystem::path with(const std::string& ending) const;
  // The name itself. Throws Error{bad_usage} where it is no scan's.
  const ScanName& checked() const;
};

// Throws Error{bad_usage} where the name is no scan's.
ScanName split_scan_name(const std::filesystem::path& path);
bool is_scan_name(const std::filesystem::path& path);  // whether it would not

// The other file of a pair, in every spelling that exists: "a/scan.hdr" and ".img" -> "a/scan.img", "a/scan.img.gz",
// ... The likeliest partner is first: compressed like the file given, then in the same case.
std::vector<std::filesystem::path> find_siblings(const ScanName& name, const std::string& extension);

}  // namespace sr
