// Where batch-norm takes its statistics from (docs/spec.md section 3): the patch itself, the weights file's running
// statistics, or all patches of the scan.
#pragma once

#include <vector>

#include "engine/networks/network.h"

namespace sr {

// Batch-norm as an affine: y = scale x + shift, one pair per channel.
struct NormAffine {
  std::vector<double> scale, shift;
};

// scale = gamma / sqrt(var + eps), shift = beta - mean scale, with the biased variance of n_voxels values per channel.
// sums has norm.n_channels entries; affine is overwritten.
void batch_norm_affine(const NormLayer& norm, const ChannelSums* sums, double n_voxels, NormAffine& affine);

// The same with the mean and variance of each channel at hand.
void set_affine(const NormLayer& norm, const std::vector<double>& mean, const std::vector<double>& var,
                NormAffine& affine);

// The affine of every norm layer, by id, held for a whole scan.
using FrozenNorms = std::vector<NormAffine>;

// From running_mean and running_var. The network must have them.
FrozenNorms frozen_running_norms(const Network& network);

// Gathers the sums that each norm layer meets in each patch of a first pass. Patches may arrive in any order and from
// several threads (each its own patch): they are added in the order of their numbers.
class ScanStatistics {
 public:
  ScanStatistics(const Network& network, int n_patches);
  void record(int patch, const NormLayer& norm, const ChannelSums* sums);
  FrozenNorms freeze(const Network& network, double n_voxels_per_patch) const;

 private:
  std::vector<size_t> first_;      // of a norm layer's channels in a patch's row
  size_t n_channels_ = 0;          // of all norm layers
  std::vector<ChannelSums> sums_;  // [patch][norm channel]
};

}  // namespace sr
