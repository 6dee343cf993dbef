// The safetensors container: 8 bytes little-endian header length, a JSON header, the tensors' bytes.
//
//   {"__metadata__": {"key": "text", ...}, "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
//
// Offsets count from the end of the header. The tensors fill the data without overlaps and without gaps.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "weights/element_type.h"
#include "weights/file_io.h"

namespace sr {

struct SafetensorsEntry {
  std::string name;
  ElementType type;
  std::vector<int64_t> shape;
  size_t begin, end;  // bytes from the end of the header
};

struct Safetensors {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsEntry> tensors;  // as they lie in the file
  Bytes data;                             // everything behind the header; belongs to the caller's buffer
  Bytes bytes_of(const SafetensorsEntry& entry) const { return data.subspan(entry.begin, entry.end - entry.begin); }
};

bool looks_like_safetensors(Bytes file);

// Throws WeightsError, starting with `where`, unless every length, offset, type and shape fits the file.
Safetensors parse_safetensors(Bytes file, const std::string& where);

// The first 8 bytes and the header, padded with spaces so that the data start on an 8-byte boundary. Offsets as given.
std::string safetensors_header(const std::map<std::string, std::string>& metadata,
                               const std::vector<SafetensorsEntry>& tensors);

}  // namespace sr
