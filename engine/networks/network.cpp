#include "engine/networks/network.h"

#include <stdexcept>

#include "weights/architecture.h"

namespace sr {

const ConvLayer& Network::conv(const Weights& weights, const std::string& name) {
  const Tensor& w = weights.at(name + ".weight");
  const Tensor* bias = weights.find(name + ".bias");
  return convs_.emplace_back(ConvLayer{static_cast<int>(convs_.size()), static_cast<int>(w.shape[1]),
                                       static_cast<int>(w.shape[0]), static_cast<int>(w.shape[2]), w.data,
                                       bias ? bias->data : std::vector<float>{}});
}

const NormLayer& Network::norm(const Weights& weights, const std::string& name) {
  const Tensor& gamma = weights.at(name + ".weight");
  const Tensor* mean = weights.find(name + ".running_mean");
  const Tensor* var = weights.find(name + ".running_var");
  return norms_.emplace_back(NormLayer{static_cast<int>(norms_.size()), static_cast<int>(gamma.shape[0]),
                                       model.norm_eps, gamma.data, weights.at(name + ".bias").data,
                                       mean && var ? mean->data : std::vector<float>{},
                                       mean && var ? var->data : std::vector<float>{}});
}

const PReluLayer& Network::prelu(const Weights& weights, const std::string& name) {
  return prelus_.emplace_back(PReluLayer{static_cast<int>(prelus_.size()), weights.at(name + ".weight").data});
}

#define SRENGINE_DECLARE(name) std::unique_ptr<Network> make_##name(const Weights& weights);  // in net_NAME.cpp
SRENGINE_NETWORKS(SRENGINE_DECLARE)
#undef SRENGINE_DECLARE

std::unique_ptr<Network> make_network(const Weights& weights) {
#define SRENGINE_MAKE(name) \
  if (weights.model.architecture == &architectures::name()) return make_##name(weights);
  SRENGINE_NETWORKS(SRENGINE_MAKE)
#undef SRENGINE_MAKE
  throw std::logic_error(weights.model.architecture->name() + " is not in weights/architectures/list.h");
}

}  // namespace sr
