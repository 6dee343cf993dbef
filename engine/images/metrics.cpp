#include "engine/images/metrics.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "engine/base/status.h"
#include "engine/images/slices.h"

namespace sr {
namespace {

constexpr int kRadius = 5;  // int(3.5 sigma + 0.5), where scikit-image truncates the window
constexpr int kWindow = 2 * kRadius + 1;

std::array<double, kWindow> gaussian_window() {
  constexpr double sigma = 1.5;
  std::array<double, kWindow> g;
  double sum = 0;
  for (int i = 0; i < kWindow; ++i) {
    const double x = (i - kRadius) / sigma;
    sum += g[i] = std::exp(-x * x / 2);
  }
  for (double& value : g) value /= sum;
  return g;
}

// Windowed means of x, y, x^2, y^2 and xy, of which SSIM is made. Scratch memory for one thread; only windows that lie
// inside the slice count, so no border rule is needed.
class Ssim {
 public:
  explicit Ssim(int columns) : columns_(columns), vertical_(static_cast<size_t>(kNMaps * columns)) {}

  // Over windows whose centre lies in the mask (voxels other than 0), where there is one.
  double mean(Slice& x, Slice& y, Slice* mask, double data_range) {
    double sum = 0;
    int64_t n = 0;
    for (int r = 0; r <= x.rows - kWindow; ++r) {
      filter_columns(x, y, r);
      row_sum(mask ? mask->row(r + kRadius) + kRadius : nullptr, data_range, sum, n);
    }
    return n > 0 ? sum / static_cast<double>(n) : std::numeric_limits<double>::quiet_NaN();
  }

 private:
  static constexpr int kNMaps = 5;
  double* map(int m) { return vertical_.data() + static_cast<ptrdiff_t>(m) * columns_; }

  // Rows r .. r + 10 of both slices, weighted and summed.
  void filter_columns(Slice& x, Slice& y, int r) {
    std::fill(vertical_.begin(), vertical_.end(), 0);
    double *ux = map(0), *uy = map(1), *uxx = map(2), *uyy = map(3), *uxy = map(4);
    for (int i = 0; i < kWindow; ++i) {
      const double g = weights_[i];
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

  void row_sum(const double* mask, double data_range, double& sum, int64_t& n) {
    const double c1 = std::pow(0.01 * data_range, 2), c2 = std::pow(0.03 * data_range, 2);
    for (int c = 0; c <= columns_ - kWindow; ++c) {
      if (mask && mask[c] == 0) continue;
      double mean[kNMaps] = {};
      for (int m = 0; m < kNMaps; ++m)
        for (int i = 0; i < kWindow; ++i) mean[m] += weights_[i] * map(m)[c + i];
      const auto [ux, uy, uxx, uyy, uxy] = mean;
      const double vx = uxx - ux * ux, vy = uyy - uy * uy, vxy = uxy - ux * uy;
      sum += (2 * ux * uy + c1) * (2 * vxy + c2) / ((ux * ux + uy * uy + c1) * (vx + vy + c2));
      n++;
    }
  }

  int columns_;
  std::vector<double> vertical_;
  std::array<double, kWindow> weights_ = gaussian_window();
};

bool is_constant(const Slice& slice) {
  return std::all_of(slice.pixels.begin(), slice.pixels.end(), [&](double p) { return p == slice.pixels[0]; });
}

bool is_empty(const Slice& mask) {
  return std::all_of(mask.pixels.begin(), mask.pixels.end(), [](double p) { return p == 0; });
}

SliceMetrics compare_slices(Slice& reference, Slice& test, Slice* mask, double data_range, Ssim& ssim) {
  double squared_error = 0, squared_reference = 0;
  int64_t n = 0;
  for (size_t i = 0; i < reference.pixels.size(); ++i) {
    if (mask && mask->pixels[i] == 0) continue;
    const double error = reference.pixels[i] - test.pixels[i];
    squared_error += error * error;
    squared_reference += reference.pixels[i] * reference.pixels[i];
    n++;
  }
  const double mse = squared_error / static_cast<double>(n);
  return {0, 10 * std::log10(data_range * data_range / mse), ssim.mean(reference, test, mask, data_range),
          std::sqrt(squared_error / squared_reference)};
}

void require_finite(const Volume& volume, const char* name) {
  for (const float v : volume.data)
    if (!std::isfinite(v)) throw Error(Status::bad_input, fmt::format("the {} has voxels that are not finite", name));
}

}  // namespace

Metrics compare(const Volume& reference, const Volume& test, int axis, const Volume* mask) {
  const Size3 size = reference.size;
  if (size != test.size)
    throw Error(Status::bad_input, fmt::format("the reference has {}x{}x{} voxels and the test {}x{}x{}", size.w,
                                               size.h, size.d, test.size.w, test.size.h, test.size.d));
  if (mask && mask->size != size)
    throw Error(Status::bad_input, fmt::format("the mask has {}x{}x{} voxels and the reference {}x{}x{}", mask->size.w,
                                               mask->size.h, mask->size.d, size.w, size.h, size.d));
  if (mask && std::all_of(mask->data.begin(), mask->data.end(), [](float m) { return m == 0; }))
    throw Error(Status::bad_input, "the mask is empty: no voxel is to be measured");
  require_finite(reference, "reference");
  require_finite(test, "test");
  const auto [low, high] = std::minmax_element(reference.data.begin(), reference.data.end());
  if (reference.data.empty() || *low == *high)
    throw Error(Status::bad_input, "the reference is constant: nothing can be measured against it");

  Metrics all{};
  all.data_range = static_cast<double>(*high) - *low;
  const int n = n_slices(size, axis);
  std::vector<SliceMetrics> slices(static_cast<size_t>(n));
  std::vector<char> constant(static_cast<size_t>(n)), outside(static_cast<size_t>(n));
#pragma omp parallel
  {
    Slice a = empty_slice(size, axis), b = a, m = a;
    Ssim ssim(a.columns);
#pragma omp for schedule(dynamic)
    for (int i = 0; i < n; ++i) {
      const size_t s = static_cast<size_t>(i);
      copy_slice(reference, axis, i, a);
      constant[s] = is_constant(a);
      if (mask) copy_slice(*mask, axis, i, m);
      outside[s] = mask && is_empty(m);
      if (constant[s] || outside[s]) continue;
      copy_slice(test, axis, i, b);
      slices[s] = compare_slices(a, b, mask ? &m : nullptr, all.data_range, ssim);
      slices[s].slice = i;
    }
  }
  int n_ssim = 0;  // slices (or their part in the mask) that hold a window
  // Summed in the order of the slices, so that the number of threads does not show.
  for (size_t s = 0; s < slices.size(); ++s) {
    if (outside[s]) {
      ++all.n_outside;
      continue;
    }
    if (constant[s]) {
      ++all.n_constant;
      continue;
    }
    all.slices.push_back(slices[s]);
    all.psnr += slices[s].psnr;
    if (!std::isnan(slices[s].ssim)) all.ssim += slices[s].ssim, ++n_ssim;
    all.nrmse += slices[s].nrmse;
  }
  const double count = static_cast<double>(all.slices.size());
  if (all.slices.empty())
    throw Error(Status::bad_input, fmt::format("every slice of the reference across axis {} is constant; --plane takes "
                                               "another axis",
                                               axis));
  all.psnr /= count;
  all.ssim = n_ssim > 0 ? all.ssim / n_ssim : std::numeric_limits<double>::quiet_NaN();
  all.nrmse /= count;
  return all;
}

}  // namespace sr
