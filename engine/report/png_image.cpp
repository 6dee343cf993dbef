#include "engine/report/png_image.h"

#include <fmt/core.h>
#include <png.h>

#include "engine/base/status.h"

namespace sr {

std::vector<uint8_t> encode_png(const Image& image) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  png.width = static_cast<png_uint_32>(image.width);
  png.height = static_cast<png_uint_32>(image.height);
  png.format = image.n_channels == 3 ? PNG_FORMAT_RGB : PNG_FORMAT_GRAY;
  png_alloc_size_t n = PNG_IMAGE_PNG_SIZE_MAX(png);
  std::vector<uint8_t> bytes(n);
  if (!png_image_write_to_memory(&png, bytes.data(), &n, 0, image.bytes.data(), 0, nullptr))
    throw Error(Status::bad_output, fmt::format("a picture cannot be encoded ({})", png.message));
  bytes.resize(n);
  return bytes;
}

}  // namespace sr
