#include "engine/images/dft.h"

#include <algorithm>
#include <cstdint>
#include <numbers>

namespace sr {
namespace {

int largest_prime_factor(int n) {
  int largest = 1;
  for (int p = 2; p * p <= n; ++p)
    for (; n % p == 0; n /= p) largest = p;
  return std::max(largest, n);
}

// kissfft has butterflies for 2, 3, 4 and 5 and plain O(p^2) loops for other primes p. Head scans are often 181 x 217 x
// 181, and 181 is a prime: above this limit Bluestein's three transforms of about twice the length are faster (measured
// on lengths up to 437).
constexpr int kLargestButterfly = 17;

int bluestein_length(int n) {
  if (largest_prime_factor(n) <= kLargestButterfly) return 0;
  int padded = 2 * n - 1;  // room for a linear convolution of n samples with the chirp from -(n-1) to n-1
  while (largest_prime_factor(padded) > 5) ++padded;
  return padded;
}

size_t at(int i) {
  return static_cast<size_t>(i);
}

}  // namespace

Dft::Dft(int length, Direction direction)
    : length_(length),
      padded_(bluestein_length(length)),
      fft_(at(padded_ ? padded_ : length), !padded_ && direction == Direction::inverse),
      ifft_(at(padded_ ? padded_ : 1), true) {
  if (!padded_) return;
  // Bluestein: k n = (k^2 + n^2 - (k - n)^2) / 2 makes the DFT a convolution with a chirp.
  const double sign = direction == Direction::forward ? -1 : 1;
  chirp_.resize(at(length));
  for (int n = 0; n < length; ++n) {
    const int64_t square = int64_t{n} * n % (2 * length);  // exact: the chirp has period 2 * length in n^2
    chirp_[at(n)] = std::polar(1.0, sign * std::numbers::pi * static_cast<double>(square) / length);
  }
  work_.assign(at(padded_), 0);
  spectrum_.resize(at(padded_));
  filter_.resize(at(padded_));
  work_[0] = std::conj(chirp_[0]) / static_cast<double>(padded_);
  for (int n = 1; n < length; ++n)
    work_[at(n)] = work_[at(padded_ - n)] = std::conj(chirp_[at(n)]) / static_cast<double>(padded_);
  fft_.transform(work_.data(), filter_.data());
}

void Dft::transform(const ComplexDouble* in, ComplexDouble* out) {
  if (padded_)
    transform_bluestein(in, out);
  else
    fft_.transform(in, out);
}

void Dft::transform_bluestein(const ComplexDouble* in, ComplexDouble* out) {
  for (int n = 0; n < length_; ++n) work_[at(n)] = in[n] * chirp_[at(n)];
  std::fill(work_.begin() + length_, work_.end(), 0);
  fft_.transform(work_.data(), spectrum_.data());
  for (size_t k = 0; k < spectrum_.size(); ++k) spectrum_[k] *= filter_[k];
  ifft_.transform(spectrum_.data(), work_.data());
  for (int k = 0; k < length_; ++k) out[k] = work_[at(k)] * chirp_[at(k)];
}

}  // namespace sr
