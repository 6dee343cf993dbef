// Low-resolution images as a scanner makes them, and back: the centre of k-space alone (docs/spec.md, section 6).
//
// An axis of N samples keeps its M lowest frequencies, -floor(M/2) .. M - floor(M/2) - 1; for an even M that includes
// -M/2 without its partner, kept as it is. Sample n of the low-resolution grid lies at n*N/M of the high one.
#pragma once

#include <array>

#include "engine/base/volume.h"

namespace sr {

// One number per axis in NIfTI order i, j, k (= w, h, d). Example: {2, 2, 1}, the paper's degradation.
using Factors = std::array<double, 3>;

// M = floor(N / f + 1/2) for each axis. Throws Error{bad_usage} unless 1 <= f <= N on every axis.
Size3 low_grid(Size3 high, const Factors& factors);

// N = floor(M f + 1/2): the grid that upsampling by these factors leads to. Throws Error{bad_usage} for factors below 1
// and for axes that would exceed 32767 samples, NIfTI-1's limit.
Size3 high_grid(Size3 low, const Factors& factors);

// The image on its low-resolution grid: DFT, the central samples, inverse DFT scaled by prod(M / N), magnitude.
// Only axes with a factor above 1 are transformed. Within 1e-6 of the largest voxel of the float64 reference
// (tests/reference/kspace_numpy.py); the same for any number of threads. Needs, beside the image, 2 / (f_i f_j)
// volumes of working memory where k is cut too, and the result.
Volume truncate_kspace(const Volume& high, const Factors& factors);

// Sinc interpolation: the k-space of `low` in the middle of an empty one, inverse DFT scaled by prod(N / M), magnitude.
// Throws Error{bad_usage} where `high` is smaller than low's grid on some axis.
Volume zero_fill(const Volume& low, Size3 high);

// What the measured centre of k-space says about an image, on the grid `high`: its frequencies |q| < M / 2 alone, on
// every axis where the grid `low` that was measured has M < N samples; an axis with M = N keeps all of them. The image
// is on either grid. A projection, linear, real in and real out: -M/2 of an even M has no partner and is left out. The
// values may be negative. Throws Error{bad_usage} where a grid is larger than `high` on some axis.
Volume measured_part(const Volume& image, Size3 high, Size3 low);

}  // namespace sr
