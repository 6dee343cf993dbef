// The tensors of a checkpoint gathered into layers: convolutions, norms and PReLUs, in PyTorch's layout whatever the
// file's.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "weights/checkpoint.h"
#include "weights/layer_names.h"
#include "weights/schema.h"

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

  // The convolutions of which `condition` is true.
  template <class Condition>
  std::vector<const ForeignConv*> convs_where(Condition condition) const {
    std::vector<const ForeignConv*> found;
    for (const ForeignConv& conv : convs)
      if (condition(conv)) found.push_back(&conv);
    return found;
  }
  // Those that read one channel, the image.
  std::vector<const ForeignConv*> first_convs(int kernel) const {
    return convs_where([kernel](const ForeignConv& c) { return c.kernel == kernel && c.ci == 1; });
  }
};

// A foreign network read as one of ours.
struct ForeignModel {
  ModelDescription model;
  // Convolutions, as our layers are called, whose first channels of input stand in the foreign network's input twice,
  // one behind the other, and how many those are. A convolution is linear, so their weights add up.
  std::map<std::string, int64_t> repeated;
  std::vector<std::string> notes;  // what was read into the shapes
};

template <class Layer>
std::vector<std::string> names_of(const std::vector<const Layer*>& layers) {
  std::vector<std::string> names;
  for (const Layer* layer : layers) names.push_back(layer->name);
  return names;
}

// Throws WeightsError that lists every tensor that belongs to none of them.
ForeignLayers gather_layers(const TensorGroup& group, bool keeps_order, const std::string& where);

}  // namespace sr
