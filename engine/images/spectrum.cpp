#include "engine/images/spectrum.h"

#include <algorithm>
#include <cmath>

#include "engine/images/dft.h"
#include "engine/images/slices.h"

namespace sr {
namespace {

// The two-dimensional DFT of a slice over its number of voxels, unshifted. Scratch memory for one thread.
class SliceDft {
 public:
  SliceDft(int rows, int columns)
      : rows_(rows),
        columns_(columns),
        along_row_(columns, Direction::forward),
        along_column_(rows, Direction::forward),
        line_(static_cast<size_t>(std::max(rows, columns))),
        transformed_(line_.size()) {}

  void transform(Slice& slice, std::vector<ComplexDouble>& out) {
    const double scale = 1 / (static_cast<double>(rows_) * columns_);
    for (int r = 0; r < rows_; ++r) {
      std::copy_n(slice.row(r), columns_, line_.begin());
      along_row_.transform(line_.data(), out.data() + ptrdiff_t{r} * columns_);
    }
    for (int c = 0; c < columns_; ++c) {
      for (int r = 0; r < rows_; ++r) line_[r] = out[index(r, c)] * scale;
      along_column_.transform(line_.data(), transformed_.data());
      for (int r = 0; r < rows_; ++r) out[index(r, c)] = transformed_[r];
    }
  }

 private:
  size_t index(int r, int c) const {
    return static_cast<size_t>(r) * static_cast<size_t>(columns_) + static_cast<size_t>(c);
  }

  int rows_, columns_;
  Dft along_row_, along_column_;
  std::vector<ComplexDouble> line_, transformed_;
};

// The ring of each frequency of the unshifted spectrum, -1 beyond the last.
std::vector<int> rings_of(int rows, int columns, int n_rings) {
  std::vector<int> ring;
  for (int r = 0; r < rows; ++r)
    for (int c = 0; c < columns; ++c) {
      const double y = 2.0 * std::min(r, rows - r) / rows, x = 2.0 * std::min(c, columns - c) / columns;
      const int at = static_cast<int>(std::hypot(x, y) * n_rings);
      ring.push_back(at < n_rings ? at : -1);
    }
  return ring;
}

// Of one ring of one slice.
struct Sums {
  double reference = 0, test = 0, both = 0;
};

}  // namespace

RadialSpectrum radial_spectrum(const Volume& reference, const Volume& test, int axis, int n_rings) {
  const int n = n_slices(reference.size, axis);
  const Slice like = empty_slice(reference.size, axis);
  const std::vector<int> ring = rings_of(like.rows, like.columns, n_rings);
  std::vector<Sums> of_slices(static_cast<size_t>(n) * static_cast<size_t>(n_rings));
#pragma omp parallel
  {
    Slice slice = like;
    SliceDft dft(like.rows, like.columns);
    std::vector<ComplexDouble> a(ring.size()), b(ring.size());
#pragma omp for schedule(dynamic)
    for (int i = 0; i < n; ++i) {
      copy_slice(reference, axis, i, slice);
      dft.transform(slice, a);
      copy_slice(test, axis, i, slice);
      dft.transform(slice, b);
      Sums* sums = of_slices.data() + ptrdiff_t{i} * n_rings;
      for (size_t k = 0; k < ring.size(); ++k) {
        if (ring[k] < 0) continue;
        Sums& s = sums[ring[k]];
        s.reference += std::norm(a[k]);
        s.test += std::norm(b[k]);
        s.both += a[k].real() * b[k].real() + a[k].imag() * b[k].imag();
      }
    }
  }

  std::vector<double> n_frequencies(static_cast<size_t>(n_rings));
  for (const int r : ring)
    if (r >= 0) n_frequencies[r] += 1;
  RadialSpectrum spectrum;
  for (int r = 0; r < n_rings; ++r) {
    Sums all;  // added in the order of the slices
    for (int i = 0; i < n; ++i) {
      const Sums& s = of_slices[static_cast<size_t>(i) * static_cast<size_t>(n_rings) + static_cast<size_t>(r)];
      all.reference += s.reference;
      all.test += s.test;
      all.both += s.both;
    }
    const double count = n_frequencies[r] * n;
    const double scale = std::sqrt(all.reference * all.test);
    spectrum.power.push_back(count > 0 ? all.test / count : 0);
    spectrum.correlation.push_back(scale > 0 ? all.both / scale : 0);
  }
  return spectrum;
}

}  // namespace sr
