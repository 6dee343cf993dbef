// The critic of mDCSRN-GAN (docs/spec.md section 9): the 3D form of SRGAN's discriminator with layer norm, as the
// operations a backend offers; and the loss of WGAN-GP (Gulrajani et al., arXiv 1704.00028) with the exact gradient of
// its penalty (docs/wgan-gp.md).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/norm_lrelu.h"
#include "kernels/strided_conv3d.h"

namespace sr {

// `width` channels after the first layer, 8 width at the end. Example: 64 and patches of 40x40x40, as the paper has it.
struct CriticModel {
  int width = 64;
  int hidden = 1024;        // of the first dense layer
  Size3 patch{40, 40, 40};  // each axis >= 16
  friend bool operator==(const CriticModel&, const CriticModel&) = default;
};

// A convolution (or dense layer), then norm_lrelu. Where its numbers are in the row of parameters.
struct CriticLayer {
  std::string name;  // "conv0" .. "conv7", "dense0", "dense1"
  StridedConv conv;
  NormLrelu norm;
  int64_t weight, gamma, beta;  // offsets; gamma is -1 where nothing is normalised
};

struct Critic {
  CriticModel model;
  std::vector<CriticLayer> layers;
  int64_t n_parameters = 0;
  // Throws Error{bad_usage} for a patch smaller than 16 or a width below 1.
  explicit Critic(const CriticModel& model);
};

// He's normal numbers for a leaky ReLU of slope 0.2, gamma 1, biases 0: a function of the seed alone.
std::vector<float> random_critic(const Critic& critic, uint64_t seed);

// The operations on n samples, on pointers to memory of the backend's own. Those of the layers are as in
// kernels/strided_conv3d.h and kernels/norm_lrelu.h; parameters and their gradients are the layer's part of the
// backend's rows.
template <class T>
class CriticOps {
 public:
  virtual ~CriticOps() = default;
  virtual void conv(const CriticLayer& layer, int n, const T* x, T* y) = 0;
  virtual void conv_backward_data(const CriticLayer& layer, int n, const T* dy, T* dx) = 0;
  virtual void conv_backward_weights(const CriticLayer& layer, int n, const T* x, const T* dy) = 0;
  virtual void norm(const CriticLayer& layer, int n, const T* x, NormMoments* moments, T* a) = 0;
  virtual void norm_backward(const CriticLayer& layer, int n, const T* x, const NormMoments* moments, const T* da,
                             T* dx, bool with_parameters) = 0;
  virtual void norm_tangent(const CriticLayer& layer, int n, const T* x, const NormMoments* moments, const T* xt,
                            TangentMoments* tangent_moments, T* at) = 0;
  virtual void norm_backward_tangent(const CriticLayer& layer, int n, const T* x, const T* xt,
                                     const NormMoments* moments, const TangentMoments* tangent_moments, const T* da,
                                     const T* dat, T* dx, T* dxt) = 0;
  virtual void interpolate(int n, int64_t voxels, const T* epsilon, const T* real, const T* fake, T* x) = 0;
  virtual void penalty_direction(int n, int64_t voxels, const T* g, double weight, double* norms, T* v) = 0;
  virtual void fill(T* to, int64_t n, T value) = 0;
  virtual void copy(const T* from, int64_t n, T* to) = 0;
};

// Where a critic's passes keep their numbers, planned once for a batch of n patches of each kind. By layer, in numbers
// of T from the start of one buffer; x of layer l is a of layer l - 1, or the images.
struct CriticPlan {
  struct Layer {
    int64_t z, a;     // of 2 n samples: what the convolution writes, and after norm_lrelu
    int64_t g;        // of 2 n samples: the gradient at a
    int64_t zt, at;   // of n samples: how z and a change along the penalty's direction
    int64_t moments;  // of 2 n samples, in NormMoments and in TangentMoments from the start of theirs
  };
  CriticPlan(const Critic& critic, int n);
  int n;
  std::vector<Layer> layers;
  int64_t images, image_gradient;  // of 2 n samples
  int64_t direction;               // of n samples
  int64_t scratch[3];              // each of 2 n samples of the layer with the most numbers
  int64_t n_numbers = 0, n_moments = 0;
};

// n_numbers, n_moments, n_moments, and n norms.
template <class T>
struct CriticBuffers {
  T* numbers;
  NormMoments* moments;
  TangentMoments* tangent_moments;
  double* norms;
};

// The passes. `samples`: so many, 2 n at most.
template <class T>
class CriticPasses {
 public:
  CriticPasses(const Critic& critic, const CriticPlan& plan, CriticBuffers<T> buffers, CriticOps<T>& op)
      : critic_(critic), plan_(plan), buffers_(buffers), op_(op) {}

  T* images() { return at(plan_.images); }
  T* image_gradient() { return at(plan_.image_gradient); }
  T* direction() { return at(plan_.direction); }
  T* scores() { return at(plan_.layers.back().a); }           // D, one number a sample
  T* score_gradients() { return at(plan_.layers.back().g); }  // what backward() starts from
  double* norms() { return buffers_.norms; }

  // images -> scores, and every z and a.
  void forward(int samples);
  enum class Wanted { parameters, image };
  // score_gradients -> every g, and the gradients of the parameters (added) or of the images.
  void backward(int samples, Wanted wanted);
  // direction -> every zt and at.
  void tangent(int samples);
  // The gradient of the derivative of the scores along `direction`, summed over the samples, with respect to the
  // parameters (added). After forward, backward from score gradients of 1, and tangent.
  void backward_tangent(int samples);

  // The gradient of WGAN-GP's loss with respect to the parameters, added:
  //   1/n sum of D(fake) - 1/n sum of D(real) + penalty/n sum of (||grad D(x)|| - 1)^2,
  //   x = epsilon real + (1 - epsilon) fake
  // images holds n fakes, then n reals; epsilon n numbers. scores_of_batch: room for 2 n scores; norms() is left.
  void loss_gradient(const T* epsilon, double penalty, T* scores_of_batch);
  // images holds n fakes -> image_gradient of weight/n sum of D(fake); scores() is left.
  void generator_gradient(double weight);

 private:
  T* at(int64_t offset) { return buffers_.numbers + offset; }
  T* x(size_t layer) { return layer == 0 ? images() : at(plan_.layers[layer - 1].a); }
  const Critic& critic_;
  const CriticPlan& plan_;
  CriticBuffers<T> buffers_;
  CriticOps<T>& op_;
};

}  // namespace sr
