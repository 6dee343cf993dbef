#include <cmath>

#include "weights/weights_file.h"

namespace sr {
namespace {

// splitmix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). The standard library's
// distributions differ between implementations; with this one a seed means the same network everywhere.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  // In [0, 1), multiples of 2^-53.
  double uniform() {
    state_ += 0x9e3779b97f4a7c15;
    uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return static_cast<double>((z ^ (z >> 31)) >> 11) * 0x1p-53;
  }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  // The sum of twelve uniforms has variance 1 and needs no logarithm, whose last bit differs between C libraries.
  double normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return sum;
  }

 private:
  uint64_t state_;
};

}  // namespace

Weights random_weights(const ModelDescription& model, uint64_t seed) {
  Weights weights;
  weights.model = model;
  weights.provenance = {{"trained_on", "nothing: random numbers"}, {"seed", seed}};
  Random random(seed);
  for (const TensorSpec& spec : tensor_table(model)) {
    if (spec.role == TensorRole::conv_bias) continue;
    Tensor tensor{spec.shape, std::vector<float>(static_cast<size_t>(element_count(spec.shape)))};
    // He et al. 2015: variance 2 / fan-in; fan-in = ci * kernel volume = elements per output channel.
    const double he = std::sqrt(2.0 * static_cast<double>(spec.shape[0]) / static_cast<double>(tensor.data.size()));
    for (float& value : tensor.data) {
      double x = 0;
      switch (spec.role) {
        case TensorRole::conv_weight:
          x = he * random.normal();
          break;
        case TensorRole::norm_weight:
          x = random.uniform(0.5, 1.5);
          break;
        case TensorRole::norm_bias:
          x = random.uniform(-0.3, 0.3);
          break;
        case TensorRole::running_mean:
          x = random.uniform(-0.2, 0.2);
          break;
        case TensorRole::running_var:
          x = random.uniform(0.5, 1.5);
          break;
        case TensorRole::prelu_slope:
          x = random.uniform(0.1, 0.4);
          break;
        case TensorRole::conv_bias:
          break;
      }
      value = static_cast<float>(x);
    }
    weights.tensors.emplace(spec.name, std::move(tensor));
  }
  return weights;
}

}  // namespace sr
