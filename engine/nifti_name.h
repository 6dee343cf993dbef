// Names of scans: .nii, .hdr and .img, each with or without .gz, in either case.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

namespace sr {

bool is_pair_name(const std::filesystem::path& path);   // .hdr or .img
bool is_image_name(const std::filesystem::path& path);  // .img
bool is_gzip_name(const std::filesystem::path& path);   // any name that ends in .gz

// The other file of a pair, in whichever spelling exists: "a/scan.hdr" and ".img" -> "a/scan.img", "a/scan.img.gz", ...
std::optional<std::filesystem::path> find_sibling(const std::filesystem::path& path, const std::string& extension);

}  // namespace sr
