// How close an image is to its reference: PSNR, SSIM and NRMSE, slice by slice (docs/spec.md, section 8).
#pragma once

#include <vector>

#include "engine/base/volume.h"

namespace sr {

// Of one slice; L is the data range of the whole reference volume.
struct SliceMetrics {
  int slice;     // its index along the axis
  double psnr;   // 10 log10(L^2 / MSE), dB; infinite where the slices are equal
  double ssim;   // Gaussian window, sigma 1.5, 11x11, K1 0.01, K2 0.03, population covariance; NaN below 11x11 pixels
  double nrmse;  // ||reference - test|| / ||reference||
};

struct Metrics {
  double psnr, ssim, nrmse;  // averages over the slices
  double data_range;         // L = max - min of the reference
  int n_constant;            // slices that were skipped because the reference is constant there
  int n_outside;             // slices that were skipped because the mask holds no voxel of them
  std::vector<SliceMetrics> slices;
};

// Slices are perpendicular to `axis` in NIfTI order: 0 = i, 1 = j, 2 = k. Equals scikit-image's peak_signal_noise_ratio
// and structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False) in float64.
// With a mask, PSNR and NRMSE are taken over its voxels (other than 0) and SSIM over the windows centred on them; the
// data range stays that of the whole reference.
// Throws Error{bad_input} where sizes differ, a voxel is not finite, the mask is empty or the whole reference constant.
Metrics compare(const Volume& reference, const Volume& test, int axis, const Volume* mask = nullptr);

}  // namespace sr
