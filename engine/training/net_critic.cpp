#include "engine/training/net_critic.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>

#include "engine/base/lattice_noise.h"
#include "engine/base/status.h"

namespace sr {
namespace {

constexpr double kSlope = 0.2, kEps = 1e-5;

int64_t in_numbers(const CriticLayer& layer) {
  return layer.conv.ci * layer.conv.in.voxels();
}
int64_t out_numbers(const CriticLayer& layer) {
  return layer.norm.elements();
}

}  // namespace

Critic::Critic(const CriticModel& critic_model) : model(critic_model) {
  const Size3 p = model.patch;
  if (std::min({p.d, p.h, p.w}) < 16)
    throw Error(Status::bad_usage, fmt::format("a critic needs patches of 16 voxels an edge, not {}x{}x{}: four of its "
                                               "layers halve them",
                                               p.w, p.h, p.d));
  if (model.width < 1 || model.hidden < 1)
    throw Error(Status::bad_usage, fmt::format("a critic of {} channels and {} hidden numbers: both must be at least 1",
                                               model.width, model.hidden));
  const auto add = [this](std::string name, StridedConv conv, bool normalised, double slope) {
    CriticLayer layer = {std::move(name), conv, {conv.co, conv.out().voxels(), normalised, kEps, slope}, 0, -1, 0};
    const auto take = [this](int64_t n) { return std::exchange(n_parameters, n_parameters + n); };
    layer.weight = take(conv.weights());
    if (normalised) layer.gamma = take(conv.co);
    layer.beta = take(conv.co);
    layers.push_back(std::move(layer));
  };
  const int w = model.width;
  const int widths[] = {w, w, 2 * w, 2 * w, 4 * w, 4 * w, 8 * w, 8 * w};
  Size3 size = p;
  int ci = 1;
  for (int i = 0; i < 8; i++) {
    const StridedConv conv = {ci, widths[i], 3, i % 2 == 0 ? 1 : 2, size};
    add(fmt::format("conv{}", i), conv, i > 0, kSlope);
    size = conv.out();
    ci = conv.co;
  }
  const int64_t flat = ci * size.voxels();
  if (flat >= int64_t{1} << 21 || flat * model.hidden >= int64_t{1} << 31)  // 1 << 21: rows of a GPU's grid
    throw Error(Status::bad_usage,
                fmt::format("a critic of width {} for patches of {}x{}x{} has {} weights in its first "
                            "dense layer; make --critic-width, --critic-hidden or --patch smaller",
                            w, p.w, p.h, p.d, flat * model.hidden));
  add("dense0", {static_cast<int>(flat), model.hidden, 1, 1, {1, 1, 1}}, false, kSlope);
  add("dense1", {model.hidden, 1, 1, 1, {1, 1, 1}}, false, 1);
}

std::vector<float> random_critic(const Critic& critic, uint64_t seed) {
  std::vector<float> row(static_cast<size_t>(critic.n_parameters));
  uint64_t place = 0;
  const auto uniform = [&] {
    return (static_cast<double>(mix_bits(seed + 0x9e3779b97f4a7c15u * ++place) >> 11) + 0.5) * 0x1p-53;
  };
  for (const CriticLayer& layer : critic.layers) {
    const double fan_in = static_cast<double>(layer.conv.ci) * layer.conv.taps();
    const double deviation = std::sqrt(2 / ((1 + kSlope * kSlope) * fan_in));
    float* weight = row.data() + layer.weight;
    for (int64_t i = 0; i < layer.conv.weights(); i++) {
      const double radius = std::sqrt(-2 * std::log(uniform()));
      weight[i] = static_cast<float>(deviation * radius * std::cos(2 * std::numbers::pi * uniform()));
    }
    if (layer.gamma >= 0) std::fill_n(row.data() + layer.gamma, layer.conv.co, 1.0f);
  }
  return row;
}

CriticPlan::CriticPlan(const Critic& critic, int patches) : n(patches) {
  const auto take = [this](int64_t count) {
    const int64_t aligned = (count + 15) / 16 * 16;
    return std::exchange(n_numbers, n_numbers + aligned);
  };
  const int64_t voxels = critic.model.patch.voxels();
  int64_t most = 0;
  images = take(2 * n * voxels);
  image_gradient = take(2 * n * voxels);
  direction = take(n * voxels);
  for (const CriticLayer& layer : critic.layers) {
    const int64_t count = out_numbers(layer);
    Layer at{};
    for (int64_t* of_both : {&at.z, &at.a, &at.g}) *of_both = take(2 * n * count);
    for (int64_t* of_one : {&at.zt, &at.at}) *of_one = take(n * count);
    at.moments = std::exchange(n_moments, n_moments + 2 * n);
    layers.push_back(at);
    most = std::max({most, count, in_numbers(layer)});
  }
  for (int64_t& s : scratch) s = take(2 * n * most);
}

template <class T>
void CriticPasses<T>::forward(int samples) {
  for (size_t l = 0; l < critic_.layers.size(); l++) {
    const CriticPlan::Layer& p = plan_.layers[l];
    op_.conv(critic_.layers[l], samples, x(l), at(p.z));
    op_.norm(critic_.layers[l], samples, at(p.z), buffers_.moments + p.moments, at(p.a));
  }
}

template <class T>
void CriticPasses<T>::backward(int samples, Wanted wanted) {
  const bool parameters = wanted == Wanted::parameters;
  T* const dz = at(plan_.scratch[0]);
  for (size_t l = critic_.layers.size(); l-- > 0;) {
    const CriticLayer& layer = critic_.layers[l];
    const CriticPlan::Layer& p = plan_.layers[l];
    op_.norm_backward(layer, samples, at(p.z), buffers_.moments + p.moments, at(p.g), dz, parameters);
    if (parameters) op_.conv_backward_weights(layer, samples, x(l), dz);
    if (l > 0 || !parameters)
      op_.conv_backward_data(layer, samples, dz, l > 0 ? at(plan_.layers[l - 1].g) : image_gradient());
  }
}

template <class T>
void CriticPasses<T>::tangent(int samples) {
  for (size_t l = 0; l < critic_.layers.size(); l++) {
    const CriticPlan::Layer& p = plan_.layers[l];
    op_.conv(critic_.layers[l], samples, l == 0 ? direction() : at(plan_.layers[l - 1].at), at(p.zt));
    op_.norm_tangent(critic_.layers[l], samples, at(p.z), buffers_.moments + p.moments, at(p.zt),
                     buffers_.tangent_moments + p.moments, at(p.at));
  }
}

template <class T>
void CriticPasses<T>::backward_tangent(int samples) {
  T *const da = at(plan_.scratch[0]), *const dz = at(plan_.scratch[1]), *const dzt = at(plan_.scratch[2]);
  op_.fill(da, samples, T{0});  // the scores themselves are not in the penalty, their derivative alone is
  for (size_t l = critic_.layers.size(); l-- > 0;) {
    const CriticLayer& layer = critic_.layers[l];
    const CriticPlan::Layer& p = plan_.layers[l];
    op_.norm_backward_tangent(layer, samples, at(p.z), at(p.zt), buffers_.moments + p.moments,
                              buffers_.tangent_moments + p.moments, da, at(p.g), dz, dzt);
    op_.conv_backward_weights(layer, samples, x(l), dz);
    op_.conv_backward_weights(layer, samples, l == 0 ? direction() : at(plan_.layers[l - 1].at), dzt);
    if (l > 0) op_.conv_backward_data(layer, samples, dz, da);
  }
}

template <class T>
void CriticPasses<T>::loss_gradient(const T* epsilon, double penalty, T* scores_of_batch) {
  const int n = plan_.n;
  const int64_t voxels = critic_.model.patch.voxels();
  const T share = static_cast<T>(1.0 / n);
  forward(2 * n);
  op_.copy(scores(), 2 * n, scores_of_batch);
  op_.fill(score_gradients(), n, share);
  op_.fill(score_gradients() + n, n, -share);
  backward(2 * n, Wanted::parameters);

  op_.interpolate(n, voxels, epsilon, images() + n * voxels, images(), images());
  forward(n);
  op_.fill(score_gradients(), n, T{1});
  backward(n, Wanted::image);
  // The penalty depends on the parameters through the gradient alone: d(penalty) = sum of direction * d(gradient).
  op_.penalty_direction(n, voxels, image_gradient(), 2 * penalty / n, norms(), direction());
  tangent(n);
  backward_tangent(n);
}

template <class T>
void CriticPasses<T>::generator_gradient(double weight) {
  forward(plan_.n);
  op_.fill(score_gradients(), plan_.n, static_cast<T>(weight / plan_.n));
  backward(plan_.n, Wanted::image);
}

template class CriticPasses<float>;
template class CriticPasses<double>;

}  // namespace sr
