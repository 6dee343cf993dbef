// Networks as layers with numbers, ready for any backend, and the operations that a forward pass and its way back are
// written in. One network a file: net_mdcsrn.h, net_fsrcnn.h, net_srresnet.h, net_srdensenet.h.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "kernels/conv3d.h"
#include "weights/weights_file.h"

namespace sr {

// Each layer has a number, counted from 0 among its kind in the order of the forward pass; a backend keeps what it has
// prepared (packed weights, frozen norms) under it.
struct ConvLayer {
  int id;
  int ci, co, size;           // size: 1, 3, 5 or 9
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

// prelu(t) = t for t >= 0, slope t for t < 0; one slope a channel (He et al., arXiv 1502.01852).
struct PReluLayer {
  int id;
  std::vector<float> slope;
};

// What a convolution does to each value on its way in, after the norm.
struct Activation {
  enum class Kind { none, elu, prelu } kind = Kind::none;
  const PReluLayer* prelu = nullptr;  // of Kind::prelu
  static Activation elu() { return {Kind::elu}; }
  static Activation of(const PReluLayer& layer) { return {Kind::prelu, &layer}; }
};

// What nearly everything is made of: y = conv(act(norm(x))). Without a norm act(x); without either x itself. A norm
// comes with an activation: the kernels have no other use for it (kernels/conv3d.h).
struct Layer {
  const NormLayer* norm = nullptr;
  Activation act{};
  const ConvLayer& conv;
};

// Layers as networks name them.
struct NormConv {
  const NormLayer& norm;
  const ConvLayer& conv;
};

struct PReluConv {
  const PReluLayer& prelu;
  const ConvLayer& conv;
};

struct NormPReluConv {
  const NormLayer& norm;
  const PReluLayer& prelu;
  const ConvLayer& conv;
};

inline Layer plain(const ConvLayer& conv) {
  return {.conv = conv};
}
inline Layer elu_before(const ConvLayer& conv) {
  return {.act = Activation::elu(), .conv = conv};
}
inline Layer elu_before(const NormConv& l) {
  return {.norm = &l.norm, .act = Activation::elu(), .conv = l.conv};
}
inline Layer prelu_before(const PReluConv& l) {
  return {.act = Activation::of(l.prelu), .conv = l.conv};
}
inline Layer prelu_before(const NormPReluConv& l) {
  return {.norm = &l.norm, .act = Activation::of(l.prelu), .conv = l.conv};
}

// The operations on one patch in flight. x and y are channels of its buffer; every convolution also gathers the sums
// of the channels it writes, which is where a later norm finds the statistics of its input.
class PatchOps {
 public:
  virtual ~PatchOps() = default;
  // y = conv(act(norm(x)))
  virtual void conv3d(Channels x, const Layer& layer, Channels y) = 0;
  // y = prelu(x)
  virtual void prelu(Channels x, const PReluLayer& layer, Channels y) = 0;
  // y = skip + batch_norm(x); y may be skip
  virtual void norm_add(Channels x, const NormLayer& norm, Channels skip, Channels y) = 0;
  // output += image, the network's own
  virtual void add_input(Channels image, Channels output) = 0;

  // conv3d as forward passes write it.
  void conv3d(Channels x, const ConvLayer& conv, Channels y) { conv3d(x, plain(conv), y); }
  void elu_conv3d(Channels x, const ConvLayer& conv, Channels y) { conv3d(x, elu_before(conv), y); }
  void norm_elu_conv3d(Channels x, const NormConv& layer, Channels y) { conv3d(x, elu_before(layer), y); }
  void prelu_conv3d(Channels x, const PReluConv& layer, Channels y) { conv3d(x, prelu_before(layer), y); }
  void norm_prelu_conv3d(Channels x, const NormPReluConv& layer, Channels y) { conv3d(x, prelu_before(layer), y); }
};

// What a way back leaves in the gradients of x: nothing, as nobody asks for the gradient of the image; the first to
// arrive; or on top of what later layers have left there.
enum class Gradients { none, set, add };

// The way back through PatchOps' operations: from the gradients of y to those of x and of the layer's parameters.
class GradientOps {
 public:
  virtual ~GradientOps() = default;
  virtual void conv3d(Channels x, const Layer& layer, Channels y, Gradients x_gradients) = 0;
  virtual void prelu(Channels x, const PReluLayer& layer, Channels y, Gradients x_gradients) = 0;
  // Gradients of x are set.
  virtual void norm_add(Channels x, const NormLayer& norm, Channels skip, Channels y, Gradients skip_gradients) = 0;
  // y = conv(act(norm(x))) once more: other units have used its channels since.
  virtual void recompute(Channels x, const Layer& layer, Channels y) = 0;

  // conv3d and recompute as ways back write them.
  void conv3d(Channels x, const ConvLayer& conv, Channels y, Gradients g) { conv3d(x, plain(conv), y, g); }
  void elu_conv3d(Channels x, const ConvLayer& conv, Channels y, Gradients g) { conv3d(x, elu_before(conv), y, g); }
  void norm_elu_conv3d(Channels x, const NormConv& l, Channels y, Gradients g) { conv3d(x, elu_before(l), y, g); }
  void prelu_conv3d(Channels x, const PReluConv& l, Channels y, Gradients g) { conv3d(x, prelu_before(l), y, g); }
  void norm_prelu_conv3d(Channels x, const NormPReluConv& l, Channels y, Gradients g) {
    conv3d(x, prelu_before(l), y, g);
  }
  void recompute(Channels x, const NormConv& layer, Channels y) { recompute(x, elu_before(layer), y); }
};

struct Plan;

// Whether what a forward pass has no more use for is overwritten, or stays for the way back.
enum class Keep { needed, all };

class Network {
 public:
  virtual ~Network() = default;
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  const ModelDescription model;

  // Feature channels of a forward pass, image and output not counted; `scratch` are those that several layers write.
  struct Need {
    int n_channels;
    Channels scratch;
  };
  virtual Need need(Keep keep) const = 0;
  // plan.image -> plan.output.
  virtual void forward(const Plan& plan, PatchOps& op) const = 0;
  // plan.output's gradient -> the gradients of all parameters. The plan keeps all: channels hold what forward left
  // there, and gradients have the same plan.
  virtual void backward(const Plan& plan, GradientOps& op) const = 0;
  // Voxels by which an output voxel sees beyond itself: half a kernel per convolution of the longest path.
  virtual int receptive_radius() const = 0;

  // By id.
  const std::deque<ConvLayer>& convs() const { return convs_; }
  const std::deque<NormLayer>& norms() const { return norms_; }
  const std::deque<PReluLayer>& prelus() const { return prelus_; }

 protected:
  explicit Network(const Weights& weights) : model(weights.model) {}

  // For constructors: layers out of the named tensors, numbered as they come.
  const ConvLayer& conv(const Weights& w, const std::string& name);
  const NormLayer& norm(const Weights& w, const std::string& name);
  const PReluLayer& prelu(const Weights& w, const std::string& name);
  NormConv norm_conv(const Weights& w, const std::string& name) {
    return {norm(w, name + ".norm"), conv(w, name + ".conv")};
  }
  PReluConv prelu_conv(const Weights& w, const std::string& name) {
    return {prelu(w, name + ".prelu"), conv(w, name + ".conv")};
  }

  // A deque, so that layers stay where they are.
  std::deque<ConvLayer> convs_;

 private:
  std::deque<NormLayer> norms_;
  std::deque<PReluLayer> prelus_;
};

// The network that weights.model describes.
std::unique_ptr<Network> make_network(const Weights& weights);

}  // namespace sr
