// What can be wrong with a NIfTI header, one small function each. They run before any size from the file is used.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "engine/nifti/nifti_header.h"

namespace sr {

enum class Level {
  warning,  // the scan is read, as the message says
  error,    // it is not
};

// One oddity. message and fix make a sentence behind the file's name: "has dim[3] = -4, less than 1" and "the header is
// damaged: convert the scan again".
struct Finding {
  Level level;
  std::string message;
  std::string fix;
};
using Findings = std::vector<Finding>;

// Deflate cannot make more of a byte than this (zlib's technical notes: 1032:1), so a gzip file bounds its contents.
constexpr int64_t kMaxInflateRatio = 1032;

// Byte order, version and kind from the file's first bytes; nullopt, and an error among the findings, if it is no
// NIfTI.
std::optional<HeaderKind> identify_header(std::span<const std::byte> first_bytes, Findings& findings);

// Identifies, parses and checks a header. nullopt if it cannot even be parsed; otherwise the scan may be used if no
// finding is an error.
std::optional<ScanHeader> check_header(std::span<const std::byte> first_bytes, Findings& findings);

// A CIFTI file says what it is in an extension, whatever its intent says: that is an error.
void check_extensions(const std::vector<Extension>& extensions, Findings& findings);

// Where the voxels lie in the file that holds them.
struct VoxelExtent {
  int64_t offset, bytes;
  int64_t end() const { return offset + bytes; }
};
VoxelExtent voxel_extent(const ScanHeader& header);  // of a checked header

// Holds a checked header's sizes against the real size of the file with the voxels.
void check_file_size(const VoxelExtent& extent, int64_t file_bytes, bool compressed, Findings& findings);

}  // namespace sr
