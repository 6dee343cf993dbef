// One output file that appears whole or not at all, plain or gzip.
#pragma once

#include <zlib.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

#include "engine/base/temporary_files.h"

namespace sr {

// A file under a hidden name in the folder of its final path; publish() renames it, the destructor removes it, and so
// does remove_live_temporaries() where a signal ends the program. Throws Error{bad_output} naming the final path; every
// write is checked.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& final_path);
  ~TemporaryFile();
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void append(std::span<const std::byte> bytes);
  void overwrite(int64_t offset, std::span<const std::byte> bytes);
  void close();    // what a full disk or a network folder says late
  void publish();  // after close()

 private:
  void write_all(int64_t offset, std::span<const std::byte> bytes);

  std::filesystem::path final_path_, temporary_path_;
  LiveTemporary live_;
  int fd_ = -1;
  int64_t end_ = 0;
};

// Contents that begin with a front of fixed size, a NIfTI header, which may still be replaced when everything behind it
// is written: cal_min and cal_max are known only then.
class ByteSink {
 public:
  enum class Kind { plain, gzip };
  // level and strategy as zlib's deflateInit2 takes them; unused for plain files.
  ByteSink(const std::filesystem::path& final_path, Kind kind, std::span<const std::byte> front, int level,
           int strategy);
  ~ByteSink();

  void append(std::span<const std::byte> bytes);
  // Puts the final front in place (same size as the first), ends the stream and closes the file.
  void finish(std::span<const std::byte> front);
  void publish() { file_.publish(); }

 private:
  class Gzip;
  TemporaryFile file_;
  std::unique_ptr<Gzip> gzip_;  // null: plain
};

}  // namespace sr
