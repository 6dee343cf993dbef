// The radial k-space power of slices, and how far two images agree ring by ring: what a restoration brought back, and
// what it made up.
#pragma once

#include <vector>

#include "engine/base/volume.h"

namespace sr {

// Ring r of n holds the frequencies with r / n <= |k| < (r + 1) / n, |k| in units of the Nyquist frequency of each axis
// (so a cut by 2 keeps |k_x| and |k_y| below 1/2), up to 1: the corners are left out.
struct RadialSpectrum {
  std::vector<double> power;        // mean |F|^2 of a ring over all slices, F the DFT of a slice over its voxel count
  std::vector<double> correlation;  // with the reference: Re sum F G* / sqrt(sum |F|^2 sum |G|^2); Fourier ring
                                    // correlation, 1: the same detail, 0: unrelated detail
};

// Slices are perpendicular to `axis` in NIfTI order (0 = i, 1 = j, 2 = k). For the reference itself pass it twice.
// The sizes must be equal. Result independent of the number of threads.
RadialSpectrum radial_spectrum(const Volume& reference, const Volume& test, int axis, int n_rings);

}  // namespace sr
