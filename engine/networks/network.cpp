#include "engine/networks/network.h"

#include "engine/networks/net_fsrcnn.h"
#include "engine/networks/net_mdcsrn.h"
#include "engine/networks/net_srdensenet.h"
#include "engine/networks/net_srresnet.h"

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

std::unique_ptr<Network> make_network(const Weights& weights) {
  switch (weights.model.architecture) {
    case Architecture::fsrcnn:
      return std::make_unique<Fsrcnn>(weights);
    case Architecture::srresnet:
      return std::make_unique<SrResNet>(weights);
    case Architecture::srdensenet:
      return std::make_unique<SrDenseNet>(weights);
    case Architecture::mdcsrn:
      break;
  }
  return std::make_unique<Mdcsrn>(weights);
}

}  // namespace sr
