#include "engine/nifti/nifti_extensions.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace sr {
namespace {

constexpr int64_t kBlockHeader = 8;  // esize, ecode
constexpr int64_t kPadding = 16;     // esize is a multiple of it
constexpr int64_t kMaxBytes = int64_t{256} << 20;
constexpr int64_t kPiece = 64 << 10;

// Grows with what the file delivers, so that a size that lies costs nothing.
std::vector<std::byte> read_growing(ByteSource& source, int64_t offset, int64_t n) {
  std::vector<std::byte> data;
  while (static_cast<int64_t>(data.size()) < n) {
    const int64_t have = static_cast<int64_t>(data.size());
    const int64_t wanted = std::min(n - have, std::max(kPiece, have));
    data.resize(static_cast<size_t>(have + wanted));
    const int64_t got = source.read_at(offset + have, data.data() + have, wanted);
    data.resize(static_cast<size_t>(have + got));
    if (got < wanted) break;
  }
  return data;
}

void append_int32(std::vector<std::byte>& bytes, int64_t value) {
  const int32_t narrow = static_cast<int32_t>(value);
  const auto* begin = reinterpret_cast<const std::byte*>(&narrow);
  bytes.insert(bytes.end(), begin, begin + sizeof(narrow));
}

}  // namespace

std::vector<Extension> read_extensions(ByteSource& source, const ScanHeader& header, Findings& findings) {
  const int64_t begin = header_bytes(header.kind.version);
  const int64_t file_bytes = source.file_bytes() * (source.compressed() ? kMaxInflateRatio : 1);
  const int64_t end = header.kind.single_file ? header.fields.vox_offset : file_bytes;
  const auto leave_out = [&](std::string what) {
    findings.push_back({Level::warning, std::move(what), "it and what follows it are left out"});
  };

  std::vector<Extension> extensions;
  char extender[kExtenderBytes] = {};
  if (end < begin + kExtenderBytes || source.read_at(begin, extender, kExtenderBytes) < kExtenderBytes)
    return extensions;
  if (extender[0] == 0) return extensions;

  int64_t offset = begin + kExtenderBytes, total = 0;
  while (end - offset >= kBlockHeader) {
    int32_t block[2];  // esize, ecode
    if (source.read_at(offset, block, kBlockHeader) < kBlockHeader) break;
    if (header.kind.byte_swapped) nifti_swap_4bytes(2, block);
    const int64_t esize = block[0];
    if (esize == 0 && block[1] == 0) break;  // padding before the voxels
    if (esize < kBlockHeader || esize > end - offset) {
      leave_out(fmt::format("has an extension that claims {} bytes where {} are left", esize, end - offset));
      break;
    }
    if (total + esize > kMaxBytes) {
      leave_out(fmt::format("has extensions of more than {} MiB", kMaxBytes >> 20));
      break;
    }
    Extension extension{block[1], read_growing(source, offset + kBlockHeader, esize - kBlockHeader)};
    if (static_cast<int64_t>(extension.data.size()) < esize - kBlockHeader) {
      leave_out(fmt::format("ends inside an extension of {} bytes", esize));
      break;
    }
    extensions.push_back(std::move(extension));
    offset += esize;
    total += esize;
  }
  return extensions;
}

std::vector<std::byte> serialize_extensions(const std::vector<Extension>& extensions) {
  std::vector<std::byte> bytes(kExtenderBytes);
  bytes[0] = std::byte{!extensions.empty()};
  for (const Extension& extension : extensions) {
    const int64_t used = kBlockHeader + static_cast<int64_t>(extension.data.size());
    const int64_t esize = (used + kPadding - 1) / kPadding * kPadding;
    append_int32(bytes, esize);
    append_int32(bytes, extension.code);
    bytes.insert(bytes.end(), extension.data.begin(), extension.data.end());
    bytes.resize(bytes.size() + static_cast<size_t>(esize - used));
  }
  return bytes;
}

}  // namespace sr
