// Which layer of a foreign network is which of ours: convolutions by shape, norms by size and by whose convolution they
// belong to, PReLUs by order.
#pragma once

#include "weights/foreign_layers.h"
#include "weights/infer.h"

namespace sr {

// The tensors of network.model out of the layers. Matches are not in order. Throws WeightsError, starting with `where`,
// where layers are left over, missing or cannot be told apart.
Inference match_layers(const ForeignLayers& layers, ForeignModel network, bool keeps_order, const std::string& where);

}  // namespace sr
