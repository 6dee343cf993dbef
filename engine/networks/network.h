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

// Layers of a network that are computed together.
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

// The operations on one patch in flight. x and y are channels of its buffer; every convolution also gathers the sums
// of the channels it writes, which is where a later norm finds the statistics of its input.
class PatchOps {
 public:
  virtual ~PatchOps() = default;
  // y = conv(x)
  virtual void conv3d(Channels x, const ConvLayer& conv, Channels y) = 0;
  // y = conv(elu(batch_norm(x)))
  virtual void norm_elu_conv3d(Channels x, const NormConv& layer, Channels y) = 0;
  // y = conv(elu(x))
  virtual void elu_conv3d(Channels x, const ConvLayer& conv, Channels y) = 0;
  // y = conv(prelu(x))
  virtual void prelu_conv3d(Channels x, const PReluConv& layer, Channels y) = 0;
  // y = conv(prelu(batch_norm(x)))
  virtual void norm_prelu_conv3d(Channels x, const NormPReluConv& layer, Channels y) = 0;
  // y = prelu(x)
  virtual void prelu(Channels x, const PReluLayer& layer, Channels y) = 0;
  // y = skip + batch_norm(x); y may be skip
  virtual void norm_add(Channels x, const NormLayer& norm, Channels skip, Channels y) = 0;
  // y += x
  virtual void add(Channels x, Channels y) = 0;
};

// Whether gradients are the first to arrive at their channels, or come on top of what later layers have left there.
enum class Gradients { set, add };

// The way back through PatchOps' operations: from the gradients of y to those of x and of the layer's parameters.
class GradientOps {
 public:
  virtual ~GradientOps() = default;
  virtual void conv3d(Channels x, const ConvLayer& conv, Channels y, Gradients x_gradients) = 0;
  virtual void norm_elu_conv3d(Channels x, const NormConv& layer, Channels y, Gradients x_gradients) = 0;
  virtual void elu_conv3d(Channels x, const ConvLayer& conv, Channels y, Gradients x_gradients) = 0;
  virtual void prelu_conv3d(Channels x, const PReluConv& layer, Channels y, Gradients x_gradients) = 0;
  virtual void norm_prelu_conv3d(Channels x, const NormPReluConv& layer, Channels y, Gradients x_gradients) = 0;
  virtual void prelu(Channels x, const PReluLayer& layer, Channels y, Gradients x_gradients) = 0;
  // Gradients of x are set.
  virtual void norm_add(Channels x, const NormLayer& norm, Channels skip, Channels y, Gradients skip_gradients) = 0;
  // The first layer: nobody asks for the gradient of the image.
  virtual void stem(Channels image, const ConvLayer& conv, Channels y) = 0;
  // y = conv(elu(batch_norm(x))) once more: other units have used its channels since.
  virtual void recompute(Channels x, const NormConv& layer, Channels y) = 0;
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
