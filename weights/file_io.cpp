#include "weights/file_io.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
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

void write_file_whole(const fs::path& path, std::span<const Bytes> parts) {
  const fs::path beside = path.string() + fmt::format(".partial-{}", getpid());
  std::ofstream out(beside, std::ios::binary | std::ios::trunc);
  for (const Bytes part : parts)
    out.write(reinterpret_cast<const char*>(part.data()), static_cast<std::streamsize>(part.size()));
  out.close();
  std::error_code error;
  if (!out) {
    error = std::error_code(errno, std::generic_category());
  } else {
    fs::rename(beside, path, error);
  }
  if (!error) return;
  std::error_code ignored;
  fs::remove(beside, ignored);
  throw WeightsError(fmt::format("{}: cannot be written ({})", path.string(), error.message()));
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
