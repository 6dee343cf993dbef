#include "engine/kspace.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "engine/dft.h"
#include "engine/status.h"

namespace sr {
namespace {

using Complex = std::complex<float>;  // between two axes; transforms and sums are in double

// How many samples of how many lines there are, and where: sample s of line l is at l * line + s * sample.
struct Lines {
  int count;
  ptrdiff_t line, sample;
};

void store(Complex& to, ComplexDouble value) {
  to = Complex(value);
}
void store(float& to, ComplexDouble value) {
  to = static_cast<float>(std::sqrt(std::norm(value)));
}

// Brings lines of n_in samples to n_out samples by cutting their spectrum or by putting zeros around it.
// Holds scratch memory: one object per thread.
class LineResampler {
 public:
  LineResampler(int n_in, int n_out)
      : n_in_(n_in),
        n_out_(n_out),
        to_kspace_(n_in, Direction::forward),
        to_image_(n_out, Direction::inverse),
        block_(static_cast<size_t>(n_lines * std::max(n_in, n_out))),
        spectrum_(static_cast<size_t>(n_in)),
        kept_(static_cast<size_t>(n_out)) {}

  template <class In, class Out>
  void run(const In* in, Lines from, Out* out, Lines to) {
    for (int first = 0; first < from.count; first += n_lines) {
      const int n = std::min(n_lines, from.count - first);
      const In* source = in + first * from.line;
      Out* target = out + first * to.line;
      for (int s = 0; s < n_in_; ++s)
        for (int l = 0; l < n; ++l) line(l)[s] = ComplexDouble(source[s * from.sample + l * from.line]);
      if (n_in_ != n_out_)
        for (int l = 0; l < n; ++l) resample(line(l));
      for (int s = 0; s < n_out_; ++s)
        for (int l = 0; l < n; ++l) store(target[s * to.sample + l * to.line], line(l)[s]);
    }
  }

 private:
  // Neighbouring lines share cache lines when they run along y or z, so they are taken eight at a time.
  static constexpr int n_lines = 8;

  ComplexDouble* line(int l) { return block_.data() + static_cast<ptrdiff_t>(l) * std::max(n_in_, n_out_); }

  void resample(ComplexDouble* samples) {
    to_kspace_.transform(samples, spectrum_.data());
    // Frequency q is sample q of the unshifted spectrum, or q + n where q is negative. The low half lies in front of
    // both spectra and the high half at their ends.
    const int n = std::min(n_in_, n_out_);
    const double scale = 1.0 / n_in_;  // 1 / n_out of the inverse DFT, times n_out / n_in
    std::fill(kept_.begin(), kept_.end(), 0);
    for (int q = 0; q < n - n / 2; ++q) kept_[at(q)] = spectrum_[at(q)] * scale;
    for (int q = 1; q <= n / 2; ++q) kept_[at(n_out_ - q)] = spectrum_[at(n_in_ - q)] * scale;
    to_image_.transform(kept_.data(), samples);
  }

  static size_t at(int i) { return static_cast<size_t>(i); }

  int n_in_, n_out_;
  Dft to_kspace_, to_image_;
  std::vector<ComplexDouble> block_, spectrum_, kept_;
};

// Rows and columns of every slice: (d, h, w) in, (d, to.h, to.w) out.
template <class In, class Out>
void resample_slices(const In* in, Size3 from, Out* out, Size3 to) {
#pragma omp parallel
  {
    LineResampler rows(from.w, to.w), columns(from.h, to.h);
    std::vector<Complex> plane(static_cast<size_t>(from.h) * static_cast<size_t>(to.w));
#pragma omp for schedule(static)
    for (int z = 0; z < from.d; ++z) {
      rows.run(in + ptrdiff_t{z} * from.h * from.w, {from.h, from.w, 1}, plane.data(), {from.h, to.w, 1});
      columns.run(plane.data(), {to.w, 1, to.w}, out + ptrdiff_t{z} * to.h * to.w, {to.w, 1, to.w});
    }
  }
}

// Across slices: (d, h, w) in, (to_d, h, w) out.
template <class In, class Out>
void resample_depth(const In* in, Size3 from, Out* out, int to_d) {
  const ptrdiff_t plane = ptrdiff_t{from.h} * from.w;
#pragma omp parallel
  {
    LineResampler across(from.d, to_d);
#pragma omp for schedule(static)
    for (int y = 0; y < from.h; ++y) {
      const ptrdiff_t row = ptrdiff_t{y} * from.w;
      across.run(in + row, {from.w, 1, plane}, out + row, {from.w, 1, plane});
    }
  }
}

Volume resample_kspace(const Volume& in, Size3 to) {
  const Size3 from = in.size;
  Volume out(to);
  const bool in_plane = from.h != to.h || from.w != to.w;
  if (from.d == to.d) {
    if (in_plane)
      resample_slices(in.data.data(), from, out.data.data(), to);
    else
      std::transform(in.data.begin(), in.data.end(), out.data.begin(), [](float v) { return std::abs(v); });
  } else if (!in_plane) {
    resample_depth(in.data.data(), from, out.data.data(), to.d);
  } else if (to.d < from.d) {  // slices first when cutting and last when filling: the complex volume stays small
    std::vector<Complex> work(static_cast<size_t>(from.d) * static_cast<size_t>(to.h) * static_cast<size_t>(to.w));
    resample_slices(in.data.data(), from, work.data(), to);
    resample_depth(work.data(), {from.d, to.h, to.w}, out.data.data(), to.d);
  } else {
    std::vector<Complex> work(static_cast<size_t>(to.d) * static_cast<size_t>(from.h) * static_cast<size_t>(from.w));
    resample_depth(in.data.data(), from, work.data(), to.d);
    resample_slices(work.data(), {to.d, from.h, from.w}, out.data.data(), to);
  }
  return out;
}

int low_samples(int n, double factor, char axis) {
  if (!std::isfinite(factor) || factor < 1)
    throw Error(Status::bad_usage,
                fmt::format("a factor of {} along {} is not a reduction; factors are 1 or more", factor, axis));
  if (factor > n)
    throw Error(Status::bad_usage, fmt::format("a factor of {} along {} is larger than the image, which has {} samples "
                                               "there",
                                               factor, axis, n));
  return static_cast<int>(std::floor(n / factor + 0.5));
}

int high_samples(int m, double factor, char axis) {
  if (!(factor >= 1) || m * factor > 32767)
    throw Error(
        Status::bad_usage,
        fmt::format("a factor of {} along {} makes {} samples into {:.0f}; factors are 1 or more and an axis has "
                    "32767 samples at most",
                    factor, axis, m, m * factor));
  return static_cast<int>(std::floor(m * factor + 0.5));
}

}  // namespace

Size3 low_grid(Size3 high, const Factors& factors) {
  return {low_samples(high.d, factors[2], 'k'), low_samples(high.h, factors[1], 'j'),
          low_samples(high.w, factors[0], 'i')};
}

Size3 high_grid(Size3 low, const Factors& factors) {
  return {high_samples(low.d, factors[2], 'k'), high_samples(low.h, factors[1], 'j'),
          high_samples(low.w, factors[0], 'i')};
}

Volume truncate_kspace(const Volume& high, const Factors& factors) {
  return resample_kspace(high, low_grid(high.size, factors));
}

Volume zero_fill(const Volume& low, Size3 high) {
  const Size3 from = low.size;
  if (high.d < from.d || high.h < from.h || high.w < from.w)
    throw Error(Status::bad_usage, fmt::format("a grid of {}x{}x{} cannot be filled from one of {}x{}x{}, which is "
                                               "larger on some axis",
                                               high.w, high.h, high.d, from.w, from.h, from.d));
  return resample_kspace(low, high);
}

}  // namespace sr
