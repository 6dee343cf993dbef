// Images of 8 bits per channel, and PNG made of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace sr {

// Rows from top to bottom; 1 (grey) or 3 (RGB) bytes a pixel.
struct Image {
  Image(int w, int h, int n)
      : width(w),
        height(h),
        n_channels(n),
        bytes(static_cast<size_t>(w) * static_cast<size_t>(h) * static_cast<size_t>(n)) {}
  uint8_t* at(int x, int y) { return bytes.data() + (static_cast<ptrdiff_t>(y) * width + x) * n_channels; }
  int width, height, n_channels;
  std::vector<uint8_t> bytes;
};

std::vector<uint8_t> encode_png(const Image& image);

}  // namespace sr
