#include "weights/zip_file.h"

#include <fmt/format.h>
#include <zip.h>

#include "weights/weights_error.h"

namespace sr {

void ZipFile::Close::operator()(zip* archive) const {
  zip_discard(archive);
}

bool looks_like_zip(Bytes file) {
  return file.size() >= 4 && file[0] == 'P' && file[1] == 'K' && file[2] == 3 && file[3] == 4;
}

ZipFile::ZipFile(Bytes bytes, std::string where) : where_(std::move(where)) {
  zip_error_t error;
  zip_error_init(&error);
  const auto refuse = [&] {
    const std::string reason = zip_error_strerror(&error);
    zip_error_fini(&error);
    throw WeightsError(fmt::format("{}: the zip archive cannot be opened ({})", where_, reason));
  };
  zip_source_t* source = zip_source_buffer_create(bytes.data(), bytes.size(), 0, &error);
  if (!source) refuse();
  archive_.reset(zip_open_from_source(source, ZIP_RDONLY, &error));
  if (!archive_) {
    zip_source_free(source);
    refuse();
  }
  zip_error_fini(&error);

  uint64_t unpacked = 0;
  const uint64_t most = 32 * uint64_t{bytes.size()};
  const zip_int64_t n = zip_get_num_entries(archive_.get(), 0);
  for (zip_int64_t i = 0; i < n; ++i) {
    zip_stat_t stat;
    if (zip_stat_index(archive_.get(), static_cast<zip_uint64_t>(i), 0, &stat) != 0 || !(stat.valid & ZIP_STAT_NAME) ||
        !(stat.valid & ZIP_STAT_SIZE))
      throw WeightsError(fmt::format("{}: entry {} of the zip archive cannot be read", where_, i));
    if (!entries_.try_emplace(stat.name, Entry{static_cast<uint64_t>(i), stat.size}).second)
      throw WeightsError(fmt::format("{}: the zip archive has {} twice", where_, shown(stat.name)));
    if (stat.size > most || (unpacked += stat.size) > most)
      throw WeightsError(
          fmt::format("{}: the zip archive of {} bytes claims to unpack to more than {}; that is not what "
                      "weights look like",
                      where_, bytes.size(), most));
    names_.push_back(stat.name);
  }
}

std::vector<uint8_t> ZipFile::read(const std::string& name) const {
  const auto found = entries_.find(name);
  if (found == entries_.end()) throw WeightsError(fmt::format("{}: the zip archive has no {}", where_, shown(name)));
  const auto [index, size] = found->second;
  const auto refuse = [&](const std::string& reason) {
    throw WeightsError(fmt::format("{}: {} in the zip archive cannot be read ({})", where_, shown(name), reason));
  };
  const auto close = [](zip_file_t* file) { zip_fclose(file); };
  const std::unique_ptr<zip_file_t, decltype(close)> file(zip_fopen_index(archive_.get(), index, 0), close);
  if (!file) refuse(zip_strerror(archive_.get()));

  std::vector<uint8_t> bytes(size);
  size_t filled = 0;
  while (filled < bytes.size()) {
    const zip_int64_t n = zip_fread(file.get(), bytes.data() + filled, bytes.size() - filled);
    if (n < 0) refuse(zip_file_strerror(file.get()));
    if (n == 0) refuse("it ends too early");
    filled += static_cast<size_t>(n);
  }
  // Only a read past the end makes libzip compare the checksum.
  char beyond;
  const zip_int64_t n = zip_fread(file.get(), &beyond, 1);
  if (n < 0) refuse(zip_file_strerror(file.get()));
  if (n > 0) refuse("it is longer than it claims");
  return bytes;
}

}  // namespace sr
