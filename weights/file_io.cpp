#include "weights/file_io.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <random>
#include <system_error>

#include "weights/weights_error.h"

namespace sr {

namespace fs = std::filesystem;

std::vector<uint8_t> read_file(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) throw WeightsError(fmt::format("{}: there is no such file", path.string()));
  if (!fs::is_regular_file(status)) throw WeightsError(fmt::format("{}: is not a regular file", path.string()));
  const uintmax_t size = fs::file_size(path, error);
  std::ifstream in(path, std::ios::binary);
  if (error || !in) throw WeightsError(fmt::format("{}: cannot be read ({})", path.string(), std::strerror(errno)));

  std::vector<uint8_t> bytes(size);
  in.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(size));
  if (static_cast<uintmax_t>(in.gcount()) != size)
    throw WeightsError(fmt::format("{}: only {} of {} bytes could be read", path.string(), in.gcount(), size));
  return bytes;
}

namespace {

// A new file beside its final path; the destructor removes it unless it was published. Throws NotWritten.
class FileBeside {
 public:
  explicit FileBeside(const fs::path& path) : path_(path) {
    std::error_code error;
    const fs::file_status there = fs::status(path, error);
    // A rename would put the file in the place of a device, /dev/null say, for every other program too.
    if (fs::exists(there) && !fs::is_regular_file(there))
      throw NotWritten(fmt::format("{}: is there and is not a regular file; it is not replaced", path.string()));
    const fs::path folder = path.has_parent_path() ? path.parent_path() : fs::path(".");
    std::random_device random;
    do {
      // Short, whatever the final name: that may already be as long as the file system allows.
      beside_ = folder / fmt::format(".srengine-{}-{:08x}.part", ::getpid(), random());
      // O_EXCL follows no link that somebody laid; 0666 less the umask, as for any file that a user makes.
      fd_ = ::open(beside_.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666);
    } while (fd_ < 0 && errno == EEXIST);
    if (fd_ < 0) fail();
  }
  ~FileBeside() {
    if (fd_ >= 0) ::close(fd_);
    if (!published_ && !beside_.empty()) ::unlink(beside_.c_str());
  }
  FileBeside(const FileBeside&) = delete;
  FileBeside& operator=(const FileBeside&) = delete;

  void append(Bytes bytes) {
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_, bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail();
      bytes = bytes.subspan(static_cast<size_t>(written));
    }
  }

  void publish() {
    const int fd = fd_;
    fd_ = -1;  // closed even where close() complains: that is when a full disk or a network folder says so
    if (::close(fd) != 0 || ::rename(beside_.c_str(), path_.c_str()) != 0) fail();
    published_ = true;
  }

 private:
  [[noreturn]] void fail() const {
    throw NotWritten(fmt::format("{}: cannot be written ({})", path_.string(), std::strerror(errno)));
  }

  fs::path path_, beside_;
  int fd_ = -1;
  bool published_ = false;
};

}  // namespace

void write_file_whole(const fs::path& path, std::span<const Bytes> parts) {
  FileBeside file(path);
  for (const Bytes part : parts) file.append(part);
  file.publish();
}

void write_file_whole(const fs::path& path, Bytes bytes) {
  write_file_whole(path, std::span<const Bytes>(&bytes, 1));
}

std::string sha256_hex(Bytes bytes) {
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest, &length, EVP_sha256(), nullptr) != 1)
    throw WeightsError("SHA-256 is not available in this libcrypto");
  std::string hex;
  for (unsigned int i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

}  // namespace sr
