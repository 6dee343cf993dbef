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

// Writes the parts one behind another into a new file beside `path`, under a short hidden name, and renames it: the
// file appears whole or not at all, and what was there before stays where that fails. Only a regular file is ever
// replaced; a device or a pipe is refused. Throws NotWritten.
void write_file_whole(const std::filesystem::path& path, std::span<const Bytes> parts);
void write_file_whole(const std::filesystem::path& path, Bytes bytes);

// SHA-256 as 64 lower-case hexadecimal digits.
std::string sha256_hex(Bytes bytes);

}  // namespace sr
