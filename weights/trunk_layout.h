// How foreign networks line up the features that their compressors read, and how that becomes one of ours.
//
// A 1x1x1 convolution is linear, so the weights of a feature that stands in the trunk twice add up.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weights/schema.h"

namespace sr {

struct TrunkLayout {
  Trunk trunk;        // what it becomes
  bool stem_twice;    // the stem stands before the trunk once more, as in the public re-implementation
  std::string order;  // for people: "[stem, O_1, O_2, ...]"
  int channels(ModelDescription model, int n_blocks) const;
};

// The layout with widths[n - 1] channels after n blocks, n = 1 .. B. Throws WeightsError that lists what there is. The
// order of the features within those channels cannot be seen and is assumed.
TrunkLayout find_trunk_layout(const ModelDescription& model, const std::vector<int64_t>& widths,
                              const std::string& where);

// Weights (co, channels(n)) over the foreign trunk -> (co, model.trunk_channels(n)).
std::vector<float> fold(const std::vector<float>& weight, int64_t co, const TrunkLayout& layout,
                        const ModelDescription& model);

}  // namespace sr
