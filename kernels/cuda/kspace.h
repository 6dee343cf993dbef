// What surrounds an FFT along one axis when k-space is cut (engine/images/kspace.h): lines out of an array, the central
// samples of their spectra, and lines back into an array.
//
//   an array x [outer][n][inner] has outer * inner lines of n samples:  x_l[s] = x[((l / inner) n + s) inner + l %
//   inner] gather   lines l = first .. first + count - 1 into a block of their own; a real array gets imaginary parts
//   of 0 crop     kept[q mod m] = spectrum[q mod n] / n,  q = -floor(m/2) .. m - floor(m/2) - 1: an unscaled inverse
//   FFT of m
//            samples then gives the image scaled by m / n
//   scatter  a block into an array; into a real one its magnitude
#pragma once

#include "kernels/cuda/api.h"

namespace sr::cuda {

void gather_lines(const AxisLines& from, const LineBlock& to, Stream stream);
void crop_lines(const LineBlock& spectra, const LineBlock& kept, Stream stream);
void scatter_lines(const LineBlock& from, const AxisLines& to, Stream stream);

}  // namespace sr::cuda
