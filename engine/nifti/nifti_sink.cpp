#include "engine/nifti/nifti_sink.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <random>
#include <vector>

#include "engine/base/status.h"

namespace sr {
namespace {

[[noreturn]] void fail(const std::filesystem::path& path, const std::string& why) {
  throw Error(Status::bad_output, fmt::format("{} cannot be written: {}", path.string(), why));
}

void append_little_endian(std::vector<std::byte>& bytes, uint64_t value, int n_bytes) {
  for (int i = 0; i < n_bytes; ++i) bytes.push_back(static_cast<std::byte>(value >> (8 * i) & 0xff));
}

// Short, whatever the final name: that may already be as long as the file system allows.
std::filesystem::path temporary_name(const std::filesystem::path& folder) {
  std::random_device random;
  return folder / fmt::format(".srengine-{}-{:08x}.part", ::getpid(), random());
}

}  // namespace

// --- TemporaryFile ---

TemporaryFile::TemporaryFile(const std::filesystem::path& final_path) : final_path_(final_path) {
  std::error_code ignored;
  // Renaming would put the result in the place of a pipe or a device, or of a link to one, and not into it.
  const std::filesystem::file_status there = std::filesystem::status(final_path, ignored);
  if (std::filesystem::is_directory(there)) fail(final_path, "it is a folder");
  if (std::filesystem::exists(there) && !std::filesystem::is_regular_file(there))
    fail(final_path, "it is not a regular file; choose another name");
  const std::filesystem::path parent = final_path.parent_path();
  const std::filesystem::path folder = parent.empty() ? "." : parent;
  if (!std::filesystem::exists(folder, ignored))
    fail(final_path, fmt::format("there is no folder {}", folder.string()));
  do {
    temporary_path_ = temporary_name(folder);
    live_.remember(temporary_path_.c_str());
    // 0666 less the umask, as for any file that a user makes.
    fd_ = ::open(temporary_path_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
  } while (fd_ < 0 && errno == EEXIST);
  if (fd_ < 0) fail(final_path, std::strerror(errno));
}

TemporaryFile::~TemporaryFile() {
  if (fd_ >= 0) ::close(fd_);
  if (!temporary_path_.empty()) ::unlink(temporary_path_.c_str());
}

void TemporaryFile::append(std::span<const std::byte> bytes) {
  write_all(end_, bytes);
  end_ += static_cast<int64_t>(bytes.size());
}

void TemporaryFile::overwrite(int64_t offset, std::span<const std::byte> bytes) {
  write_all(offset, bytes);
}

void TemporaryFile::write_all(int64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(fd_, bytes.data(), bytes.size(), offset);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail(final_path_, std::strerror(errno));
    bytes = bytes.subspan(static_cast<size_t>(written));
    offset += written;
  }
}

void TemporaryFile::close() {
  const int fd = fd_;
  fd_ = -1;  // closed even where close() complains
  if (::close(fd) != 0) fail(final_path_, std::strerror(errno));
}

void TemporaryFile::publish() {
  if (::rename(temporary_path_.c_str(), final_path_.c_str()) != 0) fail(final_path_, std::strerror(errno));
  temporary_path_.clear();
  live_.forget();
}

// --- ByteSink ---

// One gzip member (RFC 1952) made of a stored block with the front, whose bytes lie in the file as they are and can be
// replaced, and zlib's raw deflate stream of everything else. The checksums of both parts are combined at the end.
class ByteSink::Gzip {
 public:
  Gzip(TemporaryFile& file, std::span<const std::byte> front, int level, int strategy) : file_(file) {
    std::vector<std::byte> head;
    append_little_endian(head, 0x00088b1f, 4);  // magic, deflate, no flags
    append_little_endian(head, 0, 4);           // no time: the same volume gives the same file
    append_little_endian(head, 0xff00, 2);      // no extra flags, system unknown
    if (!front.empty()) {
      // Stored block (RFC 1951, 3.2.4): three bits 000 and padding, length, its complement, bytes.
      append_little_endian(head, 0, 1);
      append_little_endian(head, front.size(), 2);
      append_little_endian(head, ~front.size(), 2);
    }
    front_offset_ = static_cast<int64_t>(head.size());
    front_bytes_ = front.size();
    file_.append(head);
    file_.append(front);
    constexpr int kRawDeflate = -MAX_WBITS, kMostMemory = MAX_MEM_LEVEL;
    if (::deflateInit2(&stream_, level, Z_DEFLATED, kRawDeflate, kMostMemory, strategy) != Z_OK) throw std::bad_alloc();
  }
  ~Gzip() { ::deflateEnd(&stream_); }
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;

  void append(std::span<const std::byte> bytes) {
    // zlib counts its input in unsigned int.
    constexpr size_t kPiece = size_t{1} << 30;
    for (; bytes.size() > kPiece; bytes = bytes.subspan(kPiece)) deflate(bytes.first(kPiece), Z_NO_FLUSH);
    deflate(bytes, Z_NO_FLUSH);
  }

  void finish(std::span<const std::byte> front) {
    deflate({}, Z_FINISH);
    file_.overwrite(front_offset_, front);
    const uLong front_crc = ::crc32_z(0, reinterpret_cast<const Bytef*>(front.data()), front.size());
    std::vector<std::byte> trailer;
    append_little_endian(trailer, ::crc32_combine(front_crc, crc_, static_cast<z_off_t>(n_bytes_)), 4);
    append_little_endian(trailer, front_bytes_ + n_bytes_, 4);  // modulo 2^32, as gzip has it
    file_.append(trailer);
  }

 private:
  void deflate(std::span<const std::byte> bytes, int flush) {
    // Of a null pointer crc32 makes its initial value.
    if (!bytes.empty()) crc_ = ::crc32_z(crc_, reinterpret_cast<const Bytef*>(bytes.data()), bytes.size());
    n_bytes_ += bytes.size();
    // zlib reads through next_in only, but in C it is not const.
    stream_.next_in = const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
    stream_.avail_in = static_cast<uInt>(bytes.size());
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
      stream_.avail_out = static_cast<uInt>(buffer_.size());
      ::deflate(&stream_, flush);
      file_.append(std::span(buffer_).first(buffer_.size() - stream_.avail_out));
    } while (stream_.avail_out == 0);
  }

  TemporaryFile& file_;
  z_stream stream_{};
  std::vector<std::byte> buffer_ = std::vector<std::byte>(256 << 10);
  int64_t front_offset_ = 0;
  uint64_t front_bytes_ = 0, n_bytes_ = 0;
  uLong crc_ = 0;
};

ByteSink::ByteSink(const std::filesystem::path& final_path, Kind kind, std::span<const std::byte> front, int level,
                   int strategy)
    : file_(final_path) {
  if (kind == Kind::gzip) {
    gzip_ = std::make_unique<Gzip>(file_, front, level, strategy);
  } else {
    file_.append(front);
  }
}

ByteSink::~ByteSink() = default;

void ByteSink::append(std::span<const std::byte> bytes) {
  gzip_ ? gzip_->append(bytes) : file_.append(bytes);
}

void ByteSink::finish(std::span<const std::byte> front) {
  gzip_ ? gzip_->finish(front) : file_.overwrite(0, front);
  file_.close();
}

}  // namespace sr
