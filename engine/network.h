// A network's layers as numbers, ready for any backend: what net_mdcsrn.cpp walks.
#pragma once

#include <optional>
#include <vector>

#include "kernels/conv3d.h"
#include "weights/weights_file.h"

namespace sr {

// Each layer has a number, counted from 0 in the order of the forward pass; a backend keeps what it has prepared
// (packed weights, frozen norms) under it.
struct ConvLayer {
  int id;
  int ci, co, size;           // size: 3 or 1
  std::vector<float> weight;  // [co][ci][kz][ky][kx]
  std::vector<float> bias;    // [co] or empty
  ConvWeights view() const { return {ci, co, size, weight.data(), bias.empty() ? nullptr : bias.data()}; }
};

struct NormLayer {
  int id;
  int n_channels;
  double eps;
  std::vector<float> gamma, beta;
  std::vector<float> running_mean, running_var;  // empty where the weights have none
};

struct NormConv {
  NormLayer norm;
  ConvLayer conv;
};

// Where the trunk after n_blocks blocks lies in the feature buffer, which always holds the block inputs x_2 .. x_n as
// well: the channel of each of its features. Example with-inputs: 0, 1, 2, ...
std::vector<int> trunk_channels(const ModelDescription& model, int n_blocks);

// Names as in docs/spec.md section 2.
struct Mdcsrn {
  struct Unit {
    std::optional<NormConv> bottleneck;
    NormConv main;
  };
  struct Reconstruction {
    ConvLayer compress;
    NormConv main;
  };

  ModelDescription model;
  ConvLayer stem;
  std::vector<std::vector<Unit>> blocks;
  std::vector<ConvLayer> compressors;  // before blocks 1 .. B-1
  std::optional<ConvLayer> combine;
  std::optional<Reconstruction> reconstruction;  // instead of combine: "-r"

  int n_convs = 0, n_norms = 0;

  // A trunk of new features only becomes the same network with zero weights on the block inputs it leaves out.
  explicit Mdcsrn(const Weights& weights);

  bool has_running_statistics() const;
  // Voxels by which an output voxel sees beyond itself: 1 per 3x3x3 convolution on the longest path.
  int receptive_radius() const;
  std::vector<const ConvLayer*> convs() const;  // by id
  std::vector<const NormLayer*> norms() const;  // by id
};

}  // namespace sr
