// What surrounds an FFT along one axis when k-space is cut (engine/images/kspace.h): lines out of an array, the central
// samples of their spectra, and lines back into an array.
//
//   an array x [outer][n][inner] has outer * inner lines of n samples:
//            x_l[s] = x[((l / inner) n + s) inner + l % inner]
//   gather   lines l = first .. first + count - 1 into a block of their own; a real array gets imaginary parts of 0
//   crop     kept[q mod m] = spectrum[q mod n] / n,  q = -floor(m/2) .. m - floor(m/2) - 1:
//            an unscaled inverse FFT of m samples then gives the image scaled by m / n
//   scatter  a block into an array; into a real one its magnitude
#pragma once

#include "kernels/cuda/types.h"

namespace sr::cuda {

struct alignas(8) Complex {
  float re, im;
};

// Lines of samples that lie by themselves, between an array and its spectra: rows [count][length], or columns
// [length][count]. Device memory. Example: {data, 320, 2560, columns}.
enum class LineOrder : int { rows, columns };
struct LineBlock {
  Complex* data;
  int length, count;
  LineOrder order;
};

// Lines along one axis of a dense array [outer][n][inner], from line `first` on; line l holds the samples
// ((l / inner) n + s) inner + l % inner. inner of a volume [d][h][w] is 1 along w, w along h, h w along d. Device
// memory; real or complex, the other one is null.
struct AxisLines {
  float* real;
  Complex* complex;
  int64_t inner;
  int64_t first;
};

// `to` and `kept` say how long the lines are.
Result gather_lines(const AxisLines& from, const LineBlock& to, Stream stream);
Result crop_lines(const LineBlock& spectra, const LineBlock& kept, Stream stream);
Result scatter_lines(const LineBlock& from, const AxisLines& to, Stream stream);

}  // namespace sr::cuda
