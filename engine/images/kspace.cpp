#include "engine/images/kspace.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "engine/base/status.h"
#include "engine/images/dft.h"

namespace sr {
namespace {

using Complex = std::complex<float>;  // between two axes; transforms and sums are in double

// How many samples of how many lines there are, and where: sample s of line l is at l * line + s * sample.
struct Lines {
  int count;
  ptrdiff_t line, sample;
};

// What becomes of the complex image at the end: a scanner shows magnitudes; sums and differences of images need the
// signed one, which is real as long as every frequency kept has its partner.
enum class Part { magnitude, real };

void store(Complex& to, ComplexDouble value, Part) {
  to = Complex(value);
}
void store(float& to, ComplexDouble value, Part part) {
  to = static_cast<float>(part == Part::magnitude ? std::sqrt(std::norm(value)) : value.real());
}

// Brings lines of n_in samples to n_out samples, with their n_kept lowest frequencies and zeros for the others.
// Holds scratch memory: one object per thread.
class LineResampler {
 public:
  LineResampler(int n_in, int n_out, int n_kept, Part part)
      : n_in_(n_in),
        n_out_(n_out),
        n_kept_(n_kept),
        part_(part),
        to_kspace_(n_in, Direction::forward),
        to_image_(n_out, Direction::inverse),
        block_(static_cast<size_t>(kNLines * std::max(n_in, n_out))),
        spectrum_(static_cast<size_t>(n_in)),
        kept_(static_cast<size_t>(n_out)) {}

  template <class In, class Out>
  void run(const In* in, Lines from, Out* out, Lines to) {
    for (int first = 0; first < from.count; first += kNLines) {
      const int n = std::min(kNLines, from.count - first);
      const In* source = in + first * from.line;
      Out* target = out + first * to.line;
      for (int s = 0; s < n_in_; ++s)
        for (int l = 0; l < n; ++l) line(l)[s] = ComplexDouble(source[s * from.sample + l * from.line]);
      if (n_kept_ < std::max(n_in_, n_out_))
        for (int l = 0; l < n; ++l) resample(line(l));
      for (int s = 0; s < n_out_; ++s)
        for (int l = 0; l < n; ++l) store(target[s * to.sample + l * to.line], line(l)[s], part_);
    }
  }

 private:
  // Neighbouring lines share cache lines when they run along y or z, so they are taken eight at a time.
  static constexpr int kNLines = 8;

  ComplexDouble* line(int l) { return block_.data() + static_cast<ptrdiff_t>(l) * std::max(n_in_, n_out_); }

  void resample(ComplexDouble* samples) {
    to_kspace_.transform(samples, spectrum_.data());
    // Frequency q is sample q of the unshifted spectrum, or q + n where q is negative. The low half lies in front of
    // both spectra and the high half at their ends.
    const int n = n_kept_;
    const double scale = 1.0 / n_in_;  // 1 / n_out of the inverse DFT, times n_out / n_in
    std::fill(kept_.begin(), kept_.end(), 0);
    for (int q = 0; q < n - n / 2; ++q) kept_[at(q)] = spectrum_[at(q)] * scale;
    for (int q = 1; q <= n / 2; ++q) kept_[at(n_out_ - q)] = spectrum_[at(n_in_ - q)] * scale;
    to_image_.transform(kept_.data(), samples);
  }

  static size_t at(int i) { return static_cast<size_t>(i); }

  int n_in_, n_out_, n_kept_;
  Part part_;
  Dft to_kspace_, to_image_;
  std::vector<ComplexDouble> block_, spectrum_, kept_;
};

// Rows and columns of every slice: (d, h, w) in, (d, to.h, to.w) out.
template <class In, class Out>
void resample_slices(const In* in, Size3 from, Out* out, Size3 to, Size3 kept, Part part) {
#pragma omp parallel
  {
    LineResampler rows(from.w, to.w, kept.w, part), columns(from.h, to.h, kept.h, part);
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
void resample_depth(const In* in, Size3 from, Out* out, int to_d, int kept_d, Part part) {
  const ptrdiff_t plane = ptrdiff_t{from.h} * from.w;
#pragma omp parallel
  {
    LineResampler across(from.d, to_d, kept_d, part);
#pragma omp for schedule(static)
    for (int y = 0; y < from.h; ++y) {
      const ptrdiff_t row = ptrdiff_t{y} * from.w;
      across.run(in + row, {from.w, 1, plane}, out + row, {from.w, 1, plane});
    }
  }
}

// kept: frequencies of each axis, at most the smaller of both grids' samples; axes that keep all of an unchanged grid
// are not transformed.
Volume resample_kspace(const Volume& in, Size3 to, Size3 kept, Part part) {
  const Size3 from = in.size;
  Volume out(to);
  const bool in_plane = kept.h < std::max(from.h, to.h) || kept.w < std::max(from.w, to.w);
  const bool across = kept.d < std::max(from.d, to.d);
  if (!across) {
    if (in_plane)
      resample_slices(in.data.data(), from, out.data.data(), to, kept, part);
    else
      std::transform(in.data.begin(), in.data.end(), out.data.begin(),
                     [part](float v) { return part == Part::magnitude ? std::abs(v) : v; });
  } else if (!in_plane) {
    resample_depth(in.data.data(), from, out.data.data(), to.d, kept.d, part);
  } else if (to.d < from.d) {  // slices first when cutting and last when filling: the complex volume stays small
    std::vector<Complex> work(static_cast<size_t>(from.d) * static_cast<size_t>(to.h) * static_cast<size_t>(to.w));
    resample_slices(in.data.data(), from, work.data(), to, kept, part);
    resample_depth(work.data(), {from.d, to.h, to.w}, out.data.data(), to.d, kept.d, part);
  } else {
    std::vector<Complex> work(static_cast<size_t>(to.d) * static_cast<size_t>(from.h) * static_cast<size_t>(from.w));
    resample_depth(in.data.data(), from, work.data(), to.d, kept.d, part);
    resample_slices(work.data(), {to.d, from.h, from.w}, out.data.data(), to, kept, part);
  }
  return out;
}

// The frequencies of M measured samples that have their partner: all of an odd M, all but -M/2 of an even one. An axis
// that was not cut (M = N) keeps everything.
int paired(int m, int n) {
  return m == n || m % 2 == 1 ? m : m - 1;
}
Size3 paired(Size3 low, Size3 high) {
  return {paired(low.d, high.d), paired(low.h, high.h), paired(low.w, high.w)};
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

void require_no_smaller(Size3 high, Size3 from) {
  if (high.d < from.d || high.h < from.h || high.w < from.w)
    throw Error(Status::bad_usage, fmt::format("a grid of {}x{}x{} cannot be filled from one of {}x{}x{}, which is "
                                               "larger on some axis",
                                               high.w, high.h, high.d, from.w, from.h, from.d));
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
  const Size3 low = low_grid(high.size, factors);
  return resample_kspace(high, low, low, Part::magnitude);
}

Volume zero_fill(const Volume& low, Size3 high) {
  require_no_smaller(high, low.size);
  return resample_kspace(low, high, low.size, Part::magnitude);
}

Volume measured_part(const Volume& image, Size3 high, Size3 low) {
  require_no_smaller(high, image.size);
  require_no_smaller(high, low);
  return resample_kspace(image, high, paired(low, high), Part::real);
}

}  // namespace sr
