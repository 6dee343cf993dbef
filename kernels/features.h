// Feature maps: planar volumes that lie one behind another in one buffer, x contiguous.
//
//   channel c, voxel (z, y, x):  data[c * channel + z * plane + y * row + x]
//
// Lanes w .. row-1 behind each row are padding. They hold zeros after every operation, so that a vector may run across
// the end of a row.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/size3.h"

namespace sr {

// A run of neighbouring channels of a buffer. Example: the third unit of the first block of b4u4 (k = 12) reads {0, 48}
// and writes {48, 12}.
struct Channels {
  int first, count;
};

// Strides of a buffer, in elements. Example for 70x70x70: row 72, plane 5040, channel 352800 + a little.
struct Layout {
  Size3 size;
  ptrdiff_t row, plane, channel;
};

// Rows padded to a multiple of 8 lanes with at least one lane of padding (it stands for x = w and, one row on, for
// x = -1); channels start on 64-byte boundaries and not a power of two apart, so that neighbours do not share cache
// sets.
Layout padded_layout(Size3 size);
// No padding at all: row = w. What the plain loops use.
Layout dense_layout(Size3 size);
// Elements to allocate for n_channels, the tail that a vector load may touch included.
int64_t buffer_elements(const Layout& layout, int n_channels);

template <class T>
struct Features {
  T* data;
  Layout layout;
  T* at(int c, int z = 0, int y = 0) const { return data + c * layout.channel + z * layout.plane + y * layout.row; }
};

// Sum and sum of squares of one channel over all voxels of a patch: what batch-norm needs of it.
struct ChannelSums {
  double sum = 0;
  double sum_of_squares = 0;
};

}  // namespace sr
