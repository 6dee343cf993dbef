// A convolution of a batch of patches with random contents, and what the plain loops make of it, forward and back.
// Where the numbers lie for a kernel is conv_layouts.h's.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "kernels/conv3d_backward.h"
#include "tests/support/cases.h"

namespace sr {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

enum class Direction { forward, backward };

struct ConvOptions {
  int n_patches = 1;
  bool norm_per_patch = false;  // scale and shift are [patch][ci] instead of [ci]
  float fourth_slope = -0.5f;   // every fourth slope of a PReLU; the others are random
};

struct ConvProblem {
  // Weights are such that what is computed, y or da, has the size of 1.
  ConvProblem(const ConvCase& conv_case, Direction direction, unsigned seed, const ConvOptions& options = {})
      : c(conv_case), n_patches(options.n_patches), norm_per_patch(options.norm_per_patch) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const auto numbers = [&](int64_t n) {
      std::vector<float> v(static_cast<size_t>(n));
      for (float& number : v) number = normal(random);
      return v;
    };
    const bool back = direction == Direction::backward;
    const int taps = c.kernel * c.kernel * c.kernel;
    weight = numbers(int64_t{c.co} * c.ci * taps);
    for (float& v : weight) v /= std::sqrt(static_cast<float>((back ? c.co : c.ci) * taps));
    bias = numbers(c.co);
    for (int i = 0; i < (norm_per_patch ? n_patches : 1) * c.ci; i++) {
      // Both signs of scale; now and then steep enough to reach the flat end of the exponential.
      scale.push_back(i % 5 == 4 ? back ? 30.0f : 60.0f : normal(random));
      shift.push_back(normal(random));
      if (i < c.ci) slope.push_back(normal(random));
      if (i < c.ci && i % 4 == 3) slope.back() = options.fourth_slope;
    }
    x = numbers(n_patches * c.ci * voxels());
    if (!back) return;
    dy = numbers(n_patches * c.co * voxels());
    dx = numbers(n_patches * c.ci * voxels());
  }

  int64_t voxels() const { return c.size.voxels(); }
  ConvWeights weights() const { return {c.ci, c.co, c.kernel, weight.data(), c.bias ? bias.data() : nullptr}; }
  Prologue<float> prologue() const {
    if (!c.prologue) return {};
    return {scale.data(), shift.data(), c.prelu ? slope.data() : nullptr};
  }

  ConvCase c;
  int n_patches;
  bool norm_per_patch;
  std::vector<float> weight, bias, scale, shift, slope;
  std::vector<float> x, dy, dx;  // [patch][channel][voxel]; dx: what other readers of x have left, going back
};

inline double rms(const std::vector<double>& v) {
  double squares = 0;
  for (const double number : v) squares += number * number;
  return std::sqrt(squares / static_cast<double>(std::max<size_t>(1, v.size())));
}

// One patch as the plain loops take it: x in front of y, in features f and gradients g.
struct PlainPatch {
  PlainPatch(const ConvProblem& p, int patch) : x{0, p.c.ci}, y{p.c.ci, p.c.co} {
    const Layout layout = dense_layout(p.c.size);
    const auto doubles = [&](const std::vector<float>& floats, bool per_patch) {
      const auto first = floats.begin() + (per_patch ? patch * p.c.ci : 0);
      return std::vector<double>(first, first + p.c.ci);
    };
    scale = doubles(p.scale, p.norm_per_patch);
    shift = doubles(p.shift, p.norm_per_patch);
    slope = doubles(p.slope, false);
    if (p.c.prologue) prologue = {scale.data(), shift.data(), p.c.prelu ? slope.data() : nullptr};
    features.resize(static_cast<size_t>(buffer_elements(layout, p.c.ci + p.c.co)));
    gradients.resize(p.dy.empty() ? 0 : features.size());
    f = {features.data(), layout};
    g = {gradients.data(), layout};
    const auto put = [&](const std::vector<float>& from, Features<double> to, Channels channels) {
      const auto first = from.begin() + int64_t{patch} * channels.count * p.voxels();
      std::copy(first, first + channels.count * p.voxels(), to.at(channels.first));
    };
    put(p.x, f, x);
    if (p.dy.empty()) return;
    put(p.dx, g, x);
    put(p.dy, g, y);
  }
  PlainPatch(const PlainPatch&) = delete;

  std::vector<double> scale, shift, slope, features, gradients;
  Channels x, y;
  Prologue<double> prologue;
  Features<double> f, g;
};

inline void append(std::vector<double>& to, Features<double> from, Channels channels) {
  to.insert(to.end(), from.at(channels.first), from.at(channels.first + channels.count));
}

struct ExpectedForward {
  std::vector<double> y;          // [patch][co][voxel]
  std::vector<ChannelSums> sums;  // [patch][co]
};

inline ExpectedForward expected_forward(const ConvProblem& p) {
  ExpectedForward e;
  e.sums.resize(static_cast<size_t>(p.n_patches * p.c.co));
  for (int i = 0; i < p.n_patches; i++) {
    PlainPatch patch(p, i);
    conv3d_forward_ref(patch.f, patch.x, patch.prologue, p.weights(), patch.y, e.sums.data() + i * p.c.co);
    append(e.y, patch.f, patch.y);
  }
  return e;
}

struct ExpectedData {
  std::vector<double> dx;          // [patch][ci][voxel]
  std::vector<GradientSums> sums;  // [patch][ci]
};

inline ExpectedData expected_data(const ConvProblem& p, bool accumulate) {
  ExpectedData e;
  e.sums.resize(static_cast<size_t>(p.n_patches * p.c.ci));
  for (int i = 0; i < p.n_patches; i++) {
    PlainPatch patch(p, i);
    conv3d_backward_data_ref(patch.f, patch.g, patch.x, patch.prologue, p.weights(), patch.y, accumulate,
                             e.sums.data() + i * p.c.ci);
    append(e.dx, patch.g, patch.x);
  }
  return e;
}

struct ExpectedWeights {
  std::vector<double> dweight, dbias;  // of all patches
};

inline ExpectedWeights expected_weights(const ConvProblem& p) {
  ExpectedWeights e = {std::vector<double>(p.weight.size()), std::vector<double>(p.bias.size())};
  for (int i = 0; i < p.n_patches; i++) {
    PlainPatch patch(p, i);
    conv3d_backward_weights_ref(patch.f, patch.g, patch.x, patch.prologue, p.c.kernel, patch.y, e.dweight.data(),
                                e.dbias.data());
  }
  return e;
}

// What float32 may be off in y. Rounding errors add up like a random walk over the n products of an output: eps *
// sqrt(n) of the output's rms, with a factor of 4 for the largest of many outputs. A prologue adds what the activations
// are off: 4e-7 (the exponential's polynomial 2e-7, the affine's rounding), carried through weights of norm 1 and again
// four times that for the largest.
inline double rounding_of_y(const ConvCase& c, double rms_of_y) {
  const double n = c.ci * c.kernel * c.kernel * c.kernel;
  const double products = std::numeric_limits<float>::epsilon() * std::sqrt(n + 1) * rms_of_y;
  return 4 * (products + (c.prologue ? 4e-7 : 0));
}

}  // namespace sr
