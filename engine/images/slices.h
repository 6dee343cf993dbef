// Slices of a volume perpendicular to one of its axes, in double: what metrics and spectra are taken from.
#pragma once

#include <vector>

#include "engine/base/volume.h"

namespace sr {

struct Slice {
  int rows, columns;
  std::vector<double> pixels;
  double* row(int r) { return pixels.data() + static_cast<ptrdiff_t>(r) * columns; }
};

// Axes in NIfTI order: 0 = i, 1 = j, 2 = k.
inline int n_slices(Size3 size, int axis) {
  return axis == 0 ? size.w : axis == 1 ? size.h : size.d;
}

inline Slice empty_slice(Size3 size, int axis) {
  const int rows = axis == 2 ? size.h : size.d;
  const int columns = axis == 0 ? size.h : size.w;
  return {rows, columns, std::vector<double>(static_cast<size_t>(rows) * static_cast<size_t>(columns))};
}

// Slice n into `out`, which has its size.
inline void copy_slice(const Volume& volume, int axis, int n, Slice& out) {
  for (int r = 0; r < out.rows; ++r) {
    double* row = out.row(r);
    for (int c = 0; c < out.columns; ++c)
      row[c] = axis == 0 ? volume.at(r, c, n) : axis == 1 ? volume.at(r, n, c) : volume.at(n, r, c);
  }
}

}  // namespace sr
