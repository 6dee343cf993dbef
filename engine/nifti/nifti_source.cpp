#include "engine/nifti/nifti_source.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "engine/base/status.h"

namespace sr {
namespace {

constexpr unsigned kGzipBuffer = 256 << 10;
// gzread counts in int; a GiB at a time is far below its limit.
constexpr int64_t kMaxRead = int64_t{1} << 30;

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& what) {
  throw Error(Status::bad_input, fmt::format("{} {}", path.string(), what));
}

[[noreturn]] void fail_with_errno(const std::filesystem::path& path, const char* what) {
  fail(path, fmt::format("{}: {}", what, std::strerror(errno)));
}

// Opens a regular file only: a folder, pipe or device has no size to hold a header against. O_NONBLOCK, because opening
// a pipe would otherwise wait for a writer; it means nothing for regular files.
int open_regular_file(const std::filesystem::path& path, int64_t* bytes) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    if (errno == ENOENT) fail(path, "does not exist");
    fail_with_errno(path, "cannot be opened");
  }
  struct stat status;
  const bool known = ::fstat(fd, &status) == 0;
  if (known && S_ISREG(status.st_mode) && status.st_size > 0) {
    *bytes = status.st_size;
    return fd;
  }
  const int stat_error = errno;
  ::close(fd);
  errno = stat_error;
  if (!known) fail_with_errno(path, "cannot be looked at");
  if (S_ISDIR(status.st_mode)) fail(path, "is a folder, not a scan; name the files in it");
  if (!S_ISREG(status.st_mode)) fail(path, "is not a regular file; copy the scan to one");
  fail(path, "is empty (0 bytes); copy the file again");
}

}  // namespace

ByteSource::ByteSource(const std::filesystem::path& path, Gzip gzip) : path_(path) {
  fd_ = open_regular_file(path, &file_bytes_);
  try {
    unsigned char start[2] = {};
    const bool has_magic = read_plain(0, start, 2) == 2 && start[0] == 0x1f && start[1] == 0x8b;
    if (has_magic && gzip == Gzip::by_content) open_gzip();
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

ByteSource::~ByteSource() {
  if (gz_ != nullptr) ::gzclose(gz_);
  ::close(fd_);
}

// zlib gets a descriptor of its own, so that gzclose and close stay apart.
void ByteSource::open_gzip() {
  const int fd = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (fd < 0) fail_with_errno(path_, "cannot be opened");
  gz_ = ::gzdopen(fd, "rb");
  if (gz_ == nullptr) {
    ::close(fd);
    fail(path_, "cannot be read: zlib got no memory");
  }
  ::gzbuffer(gz_, kGzipBuffer);
}

int64_t ByteSource::read_at(int64_t offset, void* to, int64_t n) {
  return compressed() ? read_gzip(offset, to, n) : read_plain(offset, to, n);
}

int64_t ByteSource::read_plain(int64_t offset, void* to, int64_t n) {
  int64_t done = 0;
  while (done < n) {
    const size_t piece = static_cast<size_t>(std::min(n - done, kMaxRead));
    const ssize_t got = ::pread(fd_, static_cast<char*>(to) + done, piece, offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) fail_with_errno(path_, "cannot be read");
    if (got == 0) break;
    done += got;
  }
  return done;
}

// Forwards is cheap to skip; backwards starts the stream again.
int64_t ByteSource::read_gzip(int64_t offset, void* to, int64_t n) {
  if (::gzseek(gz_, offset, SEEK_SET) != offset) {
    if (damage_.empty()) damage_ = "cannot seek";
    return 0;
  }
  int64_t done = 0;
  while (done < n) {
    const unsigned piece = static_cast<unsigned>(std::min(n - done, kMaxRead));
    const int got = ::gzread(gz_, static_cast<char*>(to) + done, piece);
    if (got <= 0) break;
    done += got;
  }
  // Asked for even where all bytes came: zlib reads ahead, tells once of what it met there, and gzseek forgets it.
  int code = Z_OK;
  const std::string message = ::gzerror(gz_, &code);
  if (code == Z_ERRNO) fail_with_errno(path_, "cannot be read");
  // Z_BUF_ERROR is zlib's code for a stream that simply stops.
  if (code == Z_BUF_ERROR) cut_short_ = true;
  if (code != Z_OK && code != Z_BUF_ERROR) damage_ = message.substr(message.find(' ') + 1);  // behind "<fd:3>:"
  return done;
}

int64_t ByteSource::count_up_to(int64_t enough) {
  return compressed() ? skim(0, enough) : std::min(file_bytes_, enough);
}

bool ByteSource::read_to_end(int64_t most) {
  // One byte more than may be there: its absence makes zlib look behind the contents.
  return !compressed() || skim(::gztell(gz_), most + 1) <= most;
}

int64_t ByteSource::skim(int64_t offset, int64_t most) {
  std::vector<char> scratch(kGzipBuffer);
  int64_t counted = 0;
  while (counted < most) {
    const int64_t wanted = std::min<int64_t>(kGzipBuffer, most - counted);
    const int64_t got = read_gzip(offset + counted, scratch.data(), wanted);
    counted += got;
    if (got < wanted) break;
  }
  return counted;
}

}  // namespace sr
