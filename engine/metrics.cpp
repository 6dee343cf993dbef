#include "engine/metrics.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "engine/status.h"

namespace sr {
namespace {

constexpr int radius = 5;  // int(3.5 sigma + 0.5), where scikit-image truncates the window
constexpr int window = 2 * radius + 1;

std::array<double, window> gaussian_window() {
  constexpr double sigma = 1.5;
  std::array<double, window> g;
  double sum = 0;
  for (int i = 0; i < window; ++i) {
    const double x = (i - radius) / sigma;
    sum += g[static_cast<size_t>(i)] = std::exp(-x * x / 2);
  }
  for (double& value : g) value /= sum;
  return g;
}

struct Slice {
  int rows, columns;
  std::vector<double> pixels;
  double* row(int r) { return pixels.data() + static_cast<ptrdiff_t>(r) * columns; }
};

int n_slices(Size3 size, int axis) {
  return axis == 0 ? size.w : axis == 1 ? size.h : size.d;
}

Slice empty_slice(Size3 size, int axis) {
  const int rows = axis == 2 ? size.h : size.d;
  const int columns = axis == 0 ? size.h : size.w;
  return {rows, columns, std::vector<double>(static_cast<size_t>(rows) * static_cast<size_t>(columns))};
}

void copy_slice(const Volume& volume, int axis, int n, Slice& out) {
  for (int r = 0; r < out.rows; ++r) {
    double* row = out.row(r);
    for (int c = 0; c < out.columns; ++c)
      row[c] = axis == 0 ? volume.at(r, c, n) : axis == 1 ? volume.at(r, n, c) : volume.at(n, r, c);
  }
}

// Windowed means of x, y, x^2, y^2 and xy, of which SSIM is made. Scratch memory for one thread; only windows that lie
// inside the slice count, so no border rule is needed.
class Ssim {
 public:
  explicit Ssim(int columns) : columns_(columns), vertical_(static_cast<size_t>(n_maps * columns)) {}

  double mean(Slice& x, Slice& y, double data_range) {
    if (x.rows < window || x.columns < window) return std::numeric_limits<double>::quiet_NaN();
    double sum = 0;
    for (int r = 0; r <= x.rows - window; ++r) {
      filter_columns(x, y, r);
      sum += row_sum(data_range);
    }
    return sum / (static_cast<double>(x.rows - window + 1) * (x.columns - window + 1));
  }

 private:
  static constexpr int n_maps = 5;
  double* map(int m) { return vertical_.data() + static_cast<ptrdiff_t>(m) * columns_; }

  // Rows r .. r + 10 of both slices, weighted and summed.
  void filter_columns(Slice& x, Slice& y, int r) {
    std::fill(vertical_.begin(), vertical_.end(), 0);
    double *ux = map(0), *uy = map(1), *uxx = map(2), *uyy = map(3), *uxy = map(4);
    for (int i = 0; i < window; ++i) {
      const double g = weights_[static_cast<size_t>(i)];
      const double *a = x.row(r + i), *b = y.row(r + i);
      for (int c = 0; c < columns_; ++c) {
        const double ga = g * a[c], gb = g * b[c];
        ux[c] += ga;
        uy[c] += gb;
        uxx[c] += ga * a[c];
        uyy[c] += gb * b[c];
        uxy[c] += ga * b[c];
      }
    }
  }

  double row_sum(double data_range) {
    const double c1 = std::pow(0.01 * data_range, 2), c2 = std::pow(0.03 * data_range, 2);
    double sum = 0;
    for (int c = 0; c <= columns_ - window; ++c) {
      double mean[n_maps] = {};
      for (int m = 0; m < n_maps; ++m)
        for (int i = 0; i < window; ++i) mean[m] += weights_[static_cast<size_t>(i)] * map(m)[c + i];
      const auto [ux, uy, uxx, uyy, uxy] = mean;
      const double vx = uxx - ux * ux, vy = uyy - uy * uy, vxy = uxy - ux * uy;
      sum += (2 * ux * uy + c1) * (2 * vxy + c2) / ((ux * ux + uy * uy + c1) * (vx + vy + c2));
    }
    return sum;
  }

  int columns_;
  std::vector<double> vertical_;
  std::array<double, window> weights_ = gaussian_window();
};

bool is_constant(const Slice& slice) {
  return std::all_of(slice.pixels.begin(), slice.pixels.end(), [&](double p) { return p == slice.pixels[0]; });
}

SliceMetrics compare_slices(Slice& reference, Slice& test, double data_range, Ssim& ssim) {
  double squared_error = 0, squared_reference = 0;
  for (size_t i = 0; i < reference.pixels.size(); ++i) {
    const double error = reference.pixels[i] - test.pixels[i];
    squared_error += error * error;
    squared_reference += reference.pixels[i] * reference.pixels[i];
  }
  const double mse = squared_error / static_cast<double>(reference.pixels.size());
  return {0, 10 * std::log10(data_range * data_range / mse), ssim.mean(reference, test, data_range),
          std::sqrt(squared_error / squared_reference)};
}

void require_finite(const Volume& volume, const char* name) {
  for (const float v : volume.data)
    if (!std::isfinite(v)) throw Error(Status::bad_input, fmt::format("the {} has voxels that are not finite", name));
}

}  // namespace

Metrics compare(const Volume& reference, const Volume& test, int axis) {
  const Size3 size = reference.size;
  if (size != test.size)
    throw Error(Status::bad_input, fmt::format("the reference has {}x{}x{} voxels and the test {}x{}x{}", size.w,
                                               size.h, size.d, test.size.w, test.size.h, test.size.d));
  require_finite(reference, "reference");
  require_finite(test, "test");
  const auto [low, high] = std::minmax_element(reference.data.begin(), reference.data.end());
  if (reference.data.empty() || *low == *high)
    throw Error(Status::bad_input, "the reference is constant: nothing can be measured against it");

  Metrics all{};
  all.data_range = static_cast<double>(*high) - *low;
  const int n = n_slices(size, axis);
  std::vector<SliceMetrics> slices(static_cast<size_t>(n));
  std::vector<char> constant(static_cast<size_t>(n));
#pragma omp parallel
  {
    Slice a = empty_slice(size, axis), b = a;
    Ssim ssim(a.columns);
#pragma omp for schedule(dynamic)
    for (int i = 0; i < n; ++i) {
      const size_t s = static_cast<size_t>(i);
      copy_slice(reference, axis, i, a);
      constant[s] = is_constant(a);
      if (constant[s]) continue;
      copy_slice(test, axis, i, b);
      slices[s] = compare_slices(a, b, all.data_range, ssim);
      slices[s].slice = i;
    }
  }
  // Summed in the order of the slices, so that the number of threads does not show.
  for (size_t s = 0; s < slices.size(); ++s) {
    if (constant[s]) {
      ++all.n_constant;
      continue;
    }
    all.slices.push_back(slices[s]);
    all.psnr += slices[s].psnr;
    all.ssim += slices[s].ssim;
    all.nrmse += slices[s].nrmse;
  }
  const double count = static_cast<double>(all.slices.size());
  if (all.slices.empty())
    throw Error(Status::bad_input, fmt::format("every slice of the reference across axis {} is constant; --plane takes "
                                               "another axis",
                                               axis));
  all.psnr /= count;
  all.ssim /= count;
  all.nrmse /= count;
  return all;
}

}  // namespace sr
