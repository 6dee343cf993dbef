// Zip archives in memory (libzip), with what they claim to unpack to held against their size.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "weights/file_io.h"

struct zip;

namespace sr {

class ZipFile {
 public:
  // The bytes must outlive the archive. Throws WeightsError, starting with `where`: no zip, a name twice, or more than
  // 32 times its own size when unpacked (weights hardly compress at all).
  ZipFile(Bytes bytes, std::string where);

  const std::vector<std::string>& names() const { return names_; }  // in the order of the archive
  bool contains(const std::string& name) const { return entries_.contains(name); }
  // The whole of an entry, its checksum checked. Throws WeightsError.
  std::vector<uint8_t> read(const std::string& name) const;

 private:
  struct Close {
    void operator()(zip* archive) const;
  };
  std::string where_;
  std::unique_ptr<zip, Close> archive_;
  std::vector<std::string> names_;
  struct Entry {
    uint64_t index, size;
  };
  std::map<std::string, Entry> entries_;
};

bool looks_like_zip(Bytes file);

}  // namespace sr
