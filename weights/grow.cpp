#include "weights/grow.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "weights/architecture.h"

namespace sr {
namespace {

// Where channel c of the trunk of n blocks of `small` lies in that of `large`. Both begin with the same 2k channels of
// the stem; further units of a block lie behind its old ones.
int64_t place_in_trunk(int64_t c, const ModelDescription& small, const ModelDescription& large) {
  const int64_t stem = 2 * small.growth;
  if (small.trunk == Trunk::new_features) {
    if (c < stem) return c;
    const int64_t old_block = int64_t{small.units} * small.growth, new_block = int64_t{large.units} * large.growth;
    return stem + (c - stem) / old_block * new_block + (c - stem) % old_block;
  }
  return c / small.block_channels() * large.block_channels() + c % small.block_channels();
}

// Compressors and the last 1x1x1 layer read a trunk; their rows are spread over the wider one, zeros between.
bool reads_trunk(const std::string& name) {
  return name.starts_with("compressors.") || name.starts_with("combine.") ||
         name.starts_with("reconstruction.compress.");
}

void spread(const Tensor& from, const ModelDescription& small, const ModelDescription& large, Tensor& to) {
  const int64_t rows = from.shape[0], old_width = from.shape[1], new_width = to.shape[1];
  std::ranges::fill(to.data, 0.0f);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t c = 0; c < old_width; ++c)
      to.data[row * new_width + place_in_trunk(c, small, large)] = from.data[row * old_width + c];
}

float neutral(TensorRole role) {
  return role == TensorRole::norm_weight || role == TensorRole::running_var ? 1.0f : 0.0f;
}

}  // namespace

bool can_grow(const ModelDescription& small, const ModelDescription& large) {
  ModelDescription alike = small;
  alike.blocks = large.blocks;
  alike.units = large.units;
  alike.input = large.input;
  alike.batch_norm = large.batch_norm;
  alike.norm_eps = large.norm_eps;
  return small.architecture == &architectures::mdcsrn() && alike == large && large.blocks >= small.blocks &&
         large.units >= small.units && (large.blocks > small.blocks || large.units > small.units);
}

std::vector<std::string> new_tensors(const ModelDescription& small, const ModelDescription& large) {
  std::set<std::string> old;
  for (const TensorSpec& spec : tensor_table(small)) old.insert(spec.name);
  std::vector<std::string> names;
  for (const TensorSpec& spec : tensor_table(large))
    if (!old.contains(spec.name)) names.push_back(spec.name);
  return names;
}

Weights grow(const Weights& small, const ModelDescription& large, uint64_t seed) {
  if (!can_grow(small.model, large))
    throw WeightsError(
        fmt::format("{} does not grow into {}: both must be mDCSRN and differ in nothing but blocks and "
                    "units, of which the larger network has no fewer",
                    small.model.name(), large.name()));
  Weights grown = random_weights(large, seed);
  grown.normalization = small.normalization;
  grown.provenance = small.provenance;
  const bool statistics = small.has_running_statistics();
  for (const TensorSpec& spec : tensor_table(large)) {
    const Tensor* old = small.find(spec.name);
    if (!old) {
      const bool running = spec.role == TensorRole::running_mean || spec.role == TensorRole::running_var;
      if (running && !statistics)
        grown.tensors.erase(spec.name);
      else if (spec.role != TensorRole::conv_weight && grown.find(spec.name))
        std::ranges::fill(grown.tensors.at(spec.name).data, neutral(spec.role));
    } else if (spec.role == TensorRole::conv_weight && reads_trunk(spec.name)) {
      spread(*old, small.model, large, grown.tensors.at(spec.name));
    } else {
      grown.tensors[spec.name] = *old;
    }
  }
  check_against_schema(grown, "the grown network");
  return grown;
}

}  // namespace sr
