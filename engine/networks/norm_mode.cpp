#include "engine/networks/norm_mode.h"

#include <algorithm>
#include <cmath>

namespace sr {
namespace {

void set_affine_of(const NormLayer& norm, size_t c, double mean, double var, NormAffine& affine) {
  affine.scale[c] = double{norm.gamma[c]} / std::sqrt(var + norm.eps);
  affine.shift[c] = double{norm.beta[c]} - mean * affine.scale[c];
}

void resize(const NormLayer& norm, NormAffine& affine) {
  affine.scale.resize(norm.gamma.size());
  affine.shift.resize(norm.gamma.size());
}

}  // namespace

void set_affine(const NormLayer& norm, const std::vector<double>& mean, const std::vector<double>& var,
                NormAffine& affine) {
  resize(norm, affine);
  for (size_t c = 0; c < norm.gamma.size(); c++) set_affine_of(norm, c, mean[c], var[c], affine);
}

void batch_norm_affine(const NormLayer& norm, const ChannelSums* sums, double n_voxels, NormAffine& affine) {
  resize(norm, affine);
  for (size_t c = 0; c < norm.gamma.size(); c++) {
    const double mean = sums[c].sum / n_voxels;
    // The difference of two nearly equal numbers may come out below zero by rounding.
    const double var = std::max(0.0, sums[c].sum_of_squares / n_voxels - mean * mean);
    set_affine_of(norm, c, mean, var, affine);
  }
}

FrozenNorms frozen_running_norms(const Network& network) {
  FrozenNorms frozen;
  for (const NormLayer& norm : network.norms()) {
    NormAffine& affine = frozen.emplace_back();
    resize(norm, affine);
    for (size_t c = 0; c < norm.gamma.size(); c++)
      set_affine_of(norm, c, norm.running_mean[c], norm.running_var[c], affine);
  }
  return frozen;
}

ScanStatistics::ScanStatistics(const Network& network, int n_patches) {
  for (const NormLayer& norm : network.norms()) {
    first_.push_back(n_channels_);
    n_channels_ += norm.gamma.size();
  }
  sums_.resize(n_channels_ * static_cast<size_t>(n_patches));
}

void ScanStatistics::record(int patch, const NormLayer& norm, const ChannelSums* sums) {
  ChannelSums* row = sums_.data() + static_cast<size_t>(patch) * n_channels_ + first_[norm.id];
  std::copy_n(sums, norm.n_channels, row);
}

FrozenNorms ScanStatistics::freeze(const Network& network, double n_voxels_per_patch) const {
  std::vector<ChannelSums> total(n_channels_);
  const size_t n_patches = n_channels_ ? sums_.size() / n_channels_ : 0;
  for (size_t patch = 0; patch < n_patches; patch++)
    for (size_t c = 0; c < n_channels_; c++) {
      total[c].sum += sums_[patch * n_channels_ + c].sum;
      total[c].sum_of_squares += sums_[patch * n_channels_ + c].sum_of_squares;
    }
  FrozenNorms frozen;
  for (const NormLayer& norm : network.norms())
    batch_norm_affine(norm, total.data() + first_[norm.id], n_voxels_per_patch * static_cast<double>(n_patches),
                      frozen.emplace_back());
  return frozen;
}

}  // namespace sr
