// Names of scans: .nii, .hdr and .img, each with or without .gz, in either case.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace sr {

bool is_pair_name(const std::filesystem::path& path);   // .hdr or .img
bool is_image_name(const std::filesystem::path& path);  // .img
bool is_gzip_name(const std::filesystem::path& path);   // any name that ends in .gz

// The other file of a pair, in every spelling that exists: "a/scan.hdr" and ".img" -> "a/scan.img", "a/scan.img.gz",
// ... The likeliest partner is first: compressed like the file given, then in the same case.
std::vector<std::filesystem::path> find_siblings(const std::filesystem::path& path, const std::string& extension);

}  // namespace sr
