// Whole files in and out of memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace sr {

using Bytes = std::span<const uint8_t>;

// The whole of a regular file. Throws WeightsError; a pipe or a device is refused, for its size is not known.
std::vector<uint8_t> read_file(const std::filesystem::path& path);

// Writes the parts one behind another into a file beside `path`, then renames it: the file appears whole or not at all.
// Throws WeightsError.
void write_file_whole(const std::filesystem::path& path, std::span<const Bytes> parts);

// SHA-256 as 64 lower-case hexadecimal digits.
std::string sha256_hex(Bytes bytes);

}  // namespace sr
