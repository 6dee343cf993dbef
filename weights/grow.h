// A larger mDCSRN that computes what a smaller one does: where training of a deeper network starts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "weights/weights_file.h"

namespace sr {

// Whether grow() can make the second network of the first: both mDCSRN, alike but for the numbers of blocks and units,
// neither of which shrinks and one of which is larger. How the input is made, batch-norm's mode and its eps are not
// compared: the grown network has those of `large`.
bool can_grow(const ModelDescription& small, const ModelDescription& large);

// The network `large`, whose output is that of `small` to rounding: every layer of `small` stands where it stood, new
// layers are He-initialised (norms 1 and 0), and what was there before reads the new features with zeros. New norms
// get running statistics of 0 and 1 where `small` has any: measure them before they are used, since the new features
// have neither. Normalization and provenance are `small`'s. Throws WeightsError unless can_grow().
Weights grow(const Weights& small, const ModelDescription& large, uint64_t seed);

// The tensors of `large` that `small` does not have, in the order of the table.
std::vector<std::string> new_tensors(const ModelDescription& small, const ModelDescription& large);

}  // namespace sr
