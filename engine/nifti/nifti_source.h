// The bytes of a file, gunzipped where it is a gzip file. Throws Error{bad_input} naming the path.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace sr {

class ByteSource {
 public:
  // by_content: gzip is recognised by its first two bytes, whatever the name says (a NIfTI header never begins so).
  enum class Gzip { by_content, never };
  ByteSource(const std::filesystem::path& path, Gzip gzip);
  ~ByteSource();
  ByteSource(const ByteSource&) = delete;
  ByteSource& operator=(const ByteSource&) = delete;

  const std::filesystem::path& path() const { return path_; }
  bool compressed() const { return gz_ != nullptr; }
  int64_t file_bytes() const { return file_bytes_; }  // as on the disk, compressed

  // Copies up to n bytes from an offset into the (gunzipped) contents and returns how many there were. Fewer than n:
  // the contents end there, or stop being readable; damage() tells.
  int64_t read_at(int64_t offset, void* to, int64_t n);
  // gzip's word for what is wrong; empty if the contents are sound as far as they were read.
  const std::string& damage() const { return damage_; }
  // A gzip stream was seen to stop before its checksum and length, or earlier.
  bool cut_short() const { return cut_short_; }
  // Unpacks what follows the bytes read last, keeping nothing, so that gzip's checksum behind it is compared; damage()
  // and cut_short() tell. false: the contents go on for more than `most` bytes. Plain files have no checksum.
  bool read_to_end(int64_t most);
  // Bytes the contents really have, counted no further than `enough`; keeps nothing in memory.
  int64_t count_up_to(int64_t enough);

 private:
  int64_t read_plain(int64_t offset, void* to, int64_t n);
  int64_t read_gzip(int64_t offset, void* to, int64_t n);
  int64_t skim(int64_t offset, int64_t most);  // gzip contents from an offset on: how many, keeping none
  void open_gzip();

  std::filesystem::path path_;
  int fd_ = -1;
  gzFile gz_ = nullptr;
  int64_t file_bytes_ = 0;
  std::string damage_;
  bool cut_short_ = false;
};

}  // namespace sr
