// The tensors of a checkpoint gathered into layers: convolutions, norms and PReLUs, in PyTorch's layout whatever the
// file's.
#pragma once

#include <string>
#include <vector>

#include "weights/checkpoint.h"
#include "weights/layer_names.h"

namespace sr {

struct ForeignConv : NamedLayer {
  int64_t co, ci;
  int kernel;                   // 1, 3, 5 or 9
  std::vector<float> weight;    // [co][ci][kz][ky][kx]
  const NamedTensor* original;  // the weight as it lies in the checkpoint
  const NamedTensor* bias;      // or nullptr
};

struct ForeignNorm : NamedLayer {
  int64_t c;
  const NamedTensor *weight, *bias, *mean, *variance;  // the last two or nullptr
};

// A weight without anything beside it: the slope of each channel, or one for all.
struct ForeignPRelu : NamedLayer {
  const NamedTensor* slope;
};

struct ForeignLayers {
  std::vector<ForeignConv> convs;
  std::vector<ForeignNorm> norms;
  std::vector<ForeignPRelu> prelus;
  bool channels_last = false;        // TensorFlow's layout: [kz][ky][kx][ci][co]
  std::vector<std::string> ignored;  // counters and scalars that no network computes with
};

// Throws WeightsError that lists every tensor that belongs to none of them.
ForeignLayers gather_layers(const TensorGroup& group, bool keeps_order, const std::string& where);

}  // namespace sr
