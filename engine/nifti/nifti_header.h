// NIfTI headers as bytes and as fields. One struct serves both versions: NIfTI-2's fields hold every value of a NIfTI-1
// header exactly, so a NIfTI-1 header is widened on the way in and narrowed on the way out.
#pragma once

#include <nifti2_io.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace sr {

// A voxel type that NIfTI knows. Example: {4, "int16", 2, nullptr}.
struct Datatype {
  int code;
  const char* name;
  int bytes;               // per voxel; 0: less than one
  const char* refused_as;  // why it is not read; nullptr for a type that is
};
const Datatype* find_datatype(int code);  // nullptr: no such type

struct HeaderKind {
  int version = 1;          // 1 or 2
  bool single_file = true;  // magic n+1/n+2: voxels behind the header; ni1/ni2: voxels in an .img file
  bool byte_swapped = false;
};

// Bytes of a header: 348 or 540. The four bytes behind it say whether extensions follow.
constexpr int64_t header_bytes(int version) {
  return version == 1 ? 348 : 540;
}
constexpr int64_t kExtenderBytes = 4;

// The last four bytes tell whether the file went through a transfer that rewrites line ends.
constexpr char kMagic2Single[8] = {'n', '+', '2', 0, '\r', '\n', '\032', '\n'};
constexpr char kMagic2Pair[8] = {'n', 'i', '2', 0, '\r', '\n', '\032', '\n'};

struct ScanHeader {
  HeaderKind kind;
  nifti_2_header fields{};  // machine byte order
};

// One extension: esize is 8 + data, padded to a multiple of 16 on the way out.
struct Extension {
  int32_t code = 0;
  std::vector<std::byte> data;
};

// bytes: at least header_bytes(kind.version) of them. Nothing is judged but what cannot be represented: a vox_offset
// that is not a whole number (nullopt).
std::optional<ScanHeader> parse_header(std::span<const std::byte> bytes, HeaderKind kind);

// The header's bytes in the machine's order, fields that the format does not use zero. For version 1 the caller makes
// sure that the sizes fit.
std::vector<std::byte> serialize_header(const ScanHeader& header);

// Product of dim[4..7]; only for headers whose dimensions have been checked.
int64_t count_volumes(const nifti_2_header& fields);
int64_t count_voxels_per_volume(const nifti_2_header& fields);

}  // namespace sr
