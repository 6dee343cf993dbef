// One-dimensional discrete Fourier transforms of any length, in double.
#pragma once

#include <complex>
#include <kissfft/kissfft.hh>
#include <vector>

namespace sr {

using ComplexDouble = std::complex<double>;

enum class Direction { forward, inverse };

// out[k] = sum over n of in[n] * exp(-+ 2 pi i k n / length), minus forward, plus inverse; nothing is scaled.
// Holds scratch memory: one object per thread.
class Dft {
 public:
  Dft(int length, Direction direction);
  void transform(const ComplexDouble* in, ComplexDouble* out);  // in and out: `length` samples each, not overlapping

 private:
  void transform_bluestein(const ComplexDouble* in, ComplexDouble* out);

  int length_;
  int padded_;                  // 0: kissfft takes the length as it is; else the length of Bluestein's convolution
  kissfft<double> fft_, ifft_;  // of `length_`, or of `padded_` both ways
  std::vector<ComplexDouble> chirp_;   // exp(-+ i pi n^2 / length)
  std::vector<ComplexDouble> filter_;  // transform of the conjugate chirp, scaled by 1 / padded
  std::vector<ComplexDouble> work_, spectrum_;
};

}  // namespace sr
