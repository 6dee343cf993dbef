// Gradients of the convolution: the plain loops against finite differences, the kernels against the plain loops.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <span>

#include "kernels/conv3d_backward.h"
#include "kernels/memory.h"
#include "tests/support/cases.h"
#include "tests/support/catch.h"
#include "tests/support/subnormals.h"

namespace sr {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// Some patches of features and gradients: channels {1, ci} are read, {ci + 2, co} are written; the others are NaN, so
// that a kernel that reads them shows.
class Problem {
 public:
  Problem(const ConvCase& conv_case, int n_patches, unsigned seed)
      : c(conv_case), layout(padded_layout(c.size)), x{1, c.ci}, y{c.ci + 2, c.co} {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const int taps = c.kernel * c.kernel * c.kernel;
    weight.resize(static_cast<size_t>(c.co) * c.ci * taps);
    for (float& v : weight) v = normal(random) / std::sqrt(static_cast<float>(c.ci * taps));
    for (int i = 0; i < c.ci; i++) {
      scale.push_back(i % 5 == 4 ? 30.0f : normal(random));
      shift.push_back(normal(random));
      slope.push_back(normal(random));
    }
    for (int p = 0; p < n_patches; p++) {
      features.push_back(random_buffer(x, random, normal));
      gradients.push_back(random_buffer(y, random, normal));
      fill(gradients.back(), x, random, normal);  // what other readers have left
    }
  }

  int n_channels() const { return c.ci + c.co + 3; }
  ConvWeights weights() const { return {c.ci, c.co, c.kernel, weight.data()}; }
  Prologue<float> prologue() const {
    if (!c.prologue) return {};
    return {scale.data(), shift.data(), c.prelu ? slope.data() : nullptr};
  }

  ConvCase c;
  Layout layout;
  Channels x, y;
  std::vector<float> weight, scale, shift, slope;
  std::vector<HugeBuffer> features, gradients;

 private:
  HugeBuffer random_buffer(Channels channels, std::mt19937& random, std::normal_distribution<float>& normal) {
    HugeBuffer buffer(static_cast<size_t>(buffer_elements(layout, n_channels())));
    std::fill_n(buffer.data(), buffer.size(), kNaN);
    fill(buffer, channels, random, normal);
    return buffer;
  }
  void fill(HugeBuffer& buffer, Channels channels, std::mt19937& random, std::normal_distribution<float>& normal) {
    const Features<float> f = {buffer.data(), layout};
    for (int i = 0; i < channels.count; i++)
      for (int z = 0; z < c.size.d; z++)
        for (int row = 0; row < c.size.h; row++)
          for (int k = 0; k < layout.row; k++)
            f.at(channels.first + i, z, row)[k] = k < c.size.w ? normal(random) : 0.0f;
  }
};

HugeBuffer copy_of(const HugeBuffer& from) {
  HugeBuffer to(from.size());
  std::memcpy(to.data(), from.data(), from.size() * sizeof(float));
  return to;
}

std::vector<double> widened(const HugeBuffer& from) {
  return {from.data(), from.data() + from.size()};
}

double rms(const std::vector<double>& v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::sqrt(sum / static_cast<double>(std::max<size_t>(1, v.size())));
}

// The plain loops on all patches.
struct Expected {
  std::vector<std::vector<double>> gradients;
  std::vector<std::vector<GradientSums>> sums;
  std::vector<double> dweight, dbias;
};

Expected expect(const Problem& p, bool accumulate) {
  Expected e;
  const std::vector<double> a(p.scale.begin(), p.scale.end()), b(p.shift.begin(), p.shift.end());
  const std::vector<double> s(p.slope.begin(), p.slope.end());
  Prologue<double> prologue;
  if (p.c.prologue) prologue = {a.data(), b.data(), p.c.prelu ? s.data() : nullptr};
  e.dweight.resize(p.weight.size());
  e.dbias.resize(static_cast<size_t>(p.c.co));
  for (size_t i = 0; i < p.features.size(); i++) {
    std::vector<double> f = widened(p.features[i]), g = widened(p.gradients[i]);
    conv3d_backward_weights_ref({f.data(), p.layout}, {g.data(), p.layout}, p.x, prologue, p.c.kernel, p.y,
                                e.dweight.data(), e.dbias.data());
    std::vector<GradientSums> sums(static_cast<size_t>(p.c.ci));
    conv3d_backward_data_ref({f.data(), p.layout}, {g.data(), p.layout}, p.x, prologue, p.weights(), p.y, accumulate,
                             sums.data());
    e.gradients.push_back(std::move(g));
    e.sums.push_back(std::move(sums));
  }
  return e;
}

double tolerance(ConvAlgorithm algorithm) {
  return algorithm == ConvAlgorithm::winograd4 ? 4e-5 : algorithm == ConvAlgorithm::winograd2 ? 6e-6 : 3e-6;
}

void check_data(const Problem& p, ConvAlgorithm algorithm, bool accumulate, const Expected& e) {
  INFO(to_string(p.c) << " " << to_string(algorithm) << (accumulate ? " accumulate" : ""));
  const std::vector<float> flipped = transposed_weights(p.weights());
  const PackedConv packed({p.c.co, p.c.ci, p.c.kernel, flipped.data()}, algorithm);
  ConvScratch scratch(2);
  for (size_t i = 0; i < p.features.size(); i++) {
    HugeBuffer f = copy_of(p.features[i]), g = copy_of(p.gradients[i]);
    if (!accumulate)
      for (int c = 0; c < p.x.count; c++)
        std::fill_n(g.data() + (p.x.first + c) * p.layout.channel, p.layout.plane * p.c.size.d, kNaN);
    std::vector<GradientSums> sums(static_cast<size_t>(p.c.ci));
    conv3d_backward_data_cpu({f.data(), p.layout}, {g.data(), p.layout}, p.x, p.prologue(), packed, p.y, accumulate,
                             sums.data(), scratch);
    double worst = 0, squares = 0, n = 0;
    bool padding_is_zero = true, others_are_as_before = true;
    for (int c = 0; c < p.n_channels(); c++) {
      const bool written = c >= p.x.first && c < p.x.first + p.x.count;
      double sum = 0, sum_times_x = 0, size_of_sum = 0, size_of_times_x = 0, of_slope = 0, size_of_slope = 0;
      for (int z = 0; z < p.c.size.d; z++)
        for (int row = 0; row < p.c.size.h; row++)
          for (int k = 0; k < p.layout.row; k++) {
            const ptrdiff_t at = c * p.layout.channel + z * p.layout.plane + row * p.layout.row + k;
            const float got = g.data()[at];
            if (written && k >= p.c.size.w) padding_is_zero = padding_is_zero && got == 0.0f;
            if (!written)
              others_are_as_before =
                  others_are_as_before && std::memcmp(&got, p.gradients[i].data() + at, sizeof got) == 0;
            if (!written || k >= p.c.size.w) continue;
            const double want = e.gradients[i][static_cast<size_t>(at)];
            const double scale = p.c.prologue ? p.scale[static_cast<size_t>(c - p.x.first)] : 1.0;
            const double before = accumulate ? p.gradients[i].data()[at] : 0.0;
            worst = std::max(worst, std::abs(got - want) / std::max(1.0, std::abs(scale)));
            const double dt = (want - before) / scale, x = p.features[i].data()[at];
            sum += dt, sum_times_x += dt * x;
            size_of_sum += std::abs(dt), size_of_times_x += std::abs(dt * x);
            squares += dt * dt, n += 1;
            if (!p.c.prelu) continue;
            const auto channel = static_cast<size_t>(c - p.x.first);
            const double t = double{p.scale[channel]} * x + p.shift[channel];
            const double da_t = t < 0 ? dt / p.slope[channel] * t : 0.0;
            of_slope += da_t, size_of_slope += std::abs(da_t);
          }
      if (written) {
        const GradientSums& s = sums[static_cast<size_t>(c - p.x.first)];
        CHECK(std::abs(s.sum - sum) <= 1e-6 + tolerance(algorithm) * size_of_sum);
        CHECK(std::abs(s.sum_times_x - sum_times_x) <= 1e-6 + tolerance(algorithm) * size_of_times_x);
        CHECK(std::abs(s.slope - of_slope) <= 1e-6 + tolerance(algorithm) * size_of_slope);
      }
    }
    CHECK(padding_is_zero);
    CHECK(others_are_as_before);
    CHECK(worst <= 10 * tolerance(algorithm) * std::max(0.1, std::sqrt(squares / std::max(1.0, n))));
  }
}

std::vector<double> weights_of(const Problem& p, ConvAlgorithm algorithm, int threads, std::vector<double>* dbias) {
  std::vector<TrainedPatch> patches;
  for (size_t i = 0; i < p.features.size(); i++)
    patches.push_back(
        {{const_cast<float*>(p.features[i].data()), p.layout}, {const_cast<float*>(p.gradients[i].data()), p.layout}});
  std::vector<double> dweight(p.weight.size());
  ConvScratch scratch(threads);
  conv3d_backward_weights_cpu(patches, p.x, p.prologue(), p.c.kernel, p.y, algorithm, dweight.data(),
                              dbias ? dbias->data() : nullptr, scratch);
  return dweight;
}

void check_weights(const Problem& p, ConvAlgorithm algorithm, const Expected& e) {
  INFO(to_string(p.c) << " " << to_string(algorithm));
  std::vector<double> dbias(static_cast<size_t>(p.c.co));
  const std::vector<double> got = weights_of(p, algorithm, 2, &dbias);
  double worst = 0;
  for (size_t i = 0; i < got.size(); i++) worst = std::max(worst, std::abs(got[i] - e.dweight[i]));
  // Sums of n products of rounded numbers: their error grows with the root of n, as their size does.
  const double n = static_cast<double>(p.c.size.voxels()) * static_cast<double>(p.features.size());
  CHECK(worst <= tolerance(algorithm) * 4 * std::max(rms(e.dweight), std::sqrt(n)));
  for (size_t c = 0; c < dbias.size(); c++) CHECK(std::abs(dbias[c] - e.dbias[c]) <= 1e-9 * n + 1e-9);
}

}  // namespace

TEST_CASE("the plain gradients are the slopes of the forward pass") {
  // loss = sum of r y, r fixed: dy = r. y through batch-norm in train mode, so the statistics move as well.
  const Size3 size = {3, 4, 5};
  const int ci = 3, co = 2;
  const Layout layout = dense_layout(size);
  const auto n = static_cast<double>(size.voxels());
  std::mt19937 random(5);
  std::normal_distribution<double> normal;
  std::vector<double> gamma, beta;
  for (int c = 0; c < ci; c++) gamma.push_back(normal(random)), beta.push_back(normal(random));
  for (const int kernel : {1, 3}) {
    std::vector<float> weight(static_cast<size_t>(co * ci * kernel * kernel * kernel));
    for (float& w : weight) w = static_cast<float>(normal(random));
    std::vector<double> features(static_cast<size_t>(layout.channel * (ci + co))), r(features.size());
    for (double& v : features) v = normal(random);
    for (double& v : r) v = normal(random);

    std::vector<double> mean(ci), deviation(ci), scale(ci), shift(ci);
    const auto loss = [&](const std::vector<double>& x, const std::vector<float>& w) {
      std::vector<double> f = x;
      for (int c = 0; c < ci; c++) {
        double sum = 0, squares = 0;
        for (ptrdiff_t v = 0; v < size.voxels(); v++) {
          sum += f[static_cast<size_t>(c * layout.channel + v)];
          squares += f[static_cast<size_t>(c * layout.channel + v)] * f[static_cast<size_t>(c * layout.channel + v)];
        }
        const auto i = static_cast<size_t>(c);
        mean[i] = sum / n;
        deviation[i] = std::sqrt(squares / n - mean[i] * mean[i] + 1e-5);
        scale[i] = gamma[i] / deviation[i];
        shift[i] = beta[i] - mean[i] * scale[i];
      }
      conv3d_forward_ref({f.data(), layout}, {0, ci}, {scale.data(), shift.data()}, {ci, co, kernel, w.data()},
                         {ci, co}, nullptr);
      double total = 0;
      for (ptrdiff_t v = ci * layout.channel; v < (ci + co) * layout.channel; v++)
        total += f[static_cast<size_t>(v)] * r[static_cast<size_t>(v)];
      return total;
    };
    loss(features, weight);  // fills in the statistics

    std::vector<double> g = r, dweight(weight.size()), dbias(co);
    std::fill_n(g.begin(), ci * layout.channel, 0.0);
    const Features<double> f = {features.data(), layout}, gradients = {g.data(), layout};
    const Prologue<double> prologue = {scale.data(), shift.data()};
    conv3d_backward_weights_ref(f, gradients, {0, ci}, prologue, kernel, {ci, co}, dweight.data(), dbias.data());
    std::vector<GradientSums> sums(ci);
    conv3d_backward_data_ref(f, gradients, {0, ci}, prologue, {ci, co, kernel, weight.data()}, {ci, co}, true,
                             sums.data());
    std::vector<double> slope(ci), offset(ci), dgamma(ci);
    for (size_t c = 0; c < ci; c++) {
      dgamma[c] = (sums[c].sum_times_x - mean[c] * sums[c].sum) / deviation[c];
      slope[c] = -scale[c] * dgamma[c] / (n * deviation[c]);
      offset[c] = -scale[c] * sums[c].sum / n - mean[c] * slope[c];
    }
    add_affine(f, gradients, {0, ci}, slope.data(), offset.data());

    const double h = 1e-5;
    for (size_t i = 0; i < features.size() * ci / (ci + co); i += 7) {
      std::vector<double> up = features, down = features;
      up[i] += h, down[i] -= h;
      const double want = (loss(up, weight) - loss(down, weight)) / (2 * h);
      CHECK(std::abs(g[i] - want) < 1e-6 * std::max(1.0, std::abs(want)));
    }
    const float step = 1.0f / 1024;
    for (size_t i = 0; i < weight.size(); i += 5) {
      std::vector<float> up = weight, down = weight;
      up[i] += step, down[i] -= step;
      const double want = (loss(features, up) - loss(features, down)) / (double{up[i]} - double{down[i]});
      CHECK(std::abs(dweight[i] - want) < 1e-6 * std::max(1.0, std::abs(want)));
    }
    for (size_t c = 0; c < ci; c++) {
      const double kept = gamma[c], kept_beta = beta[c];
      gamma[c] = kept + h;
      const double up = loss(features, weight);
      gamma[c] = kept - h;
      const double down = loss(features, weight);
      gamma[c] = kept;
      CHECK(std::abs(dgamma[c] - (up - down) / (2 * h)) < 1e-5);
      beta[c] = kept_beta + h;
      const double up_beta = loss(features, weight);
      beta[c] = kept_beta - h;
      const double down_beta = loss(features, weight);
      beta[c] = kept_beta;
      CHECK(std::abs(sums[c].sum - (up_beta - down_beta) / (2 * h)) < 1e-5);
    }
  }
}

TEST_CASE("the CPU kernels' gradients are the plain ones, on odd sizes") {
  unsigned seed = 1;
  for (const ConvCase& c : odd_cases()) {
    if (c.bias) continue;
    const Problem p(c, c.size.voxels() < 300 ? 2 : 1, seed++);
    const Expected added = expect(p, true);
    for (const ConvAlgorithm algorithm : all_algorithms()) {
      if (c.kernel == 1 && algorithm != ConvAlgorithm::direct) continue;
      check_data(p, algorithm, true, added);
      if (c.size.voxels() < 300) check_data(p, algorithm, false, expect(p, false));
      check_weights(p, algorithm, added);
    }
  }
}

TEST_CASE("the CPU kernels' gradients are the plain ones, of large kernels and PReLU") {
  unsigned seed = 1;
  for (const ConvCase& c : baseline_cases()) {
    const Problem p(c, 1, seed++);
    const Expected e = expect(p, true);
    for (const ConvAlgorithm algorithm : all_algorithms()) {
      if (c.kernel != 3 && algorithm != ConvAlgorithm::direct) continue;
      check_data(p, algorithm, true, e);
      check_weights(p, algorithm, e);
    }
  }
}

TEST_CASE("the CPU kernels' gradients are the plain ones, on the layers of a network") {
  for (const ConvCase& c : layers_of_network({9, 10, 12}, 8)) {
    const Problem p(c, 1, 77);
    const Expected e = expect(p, true);
    for (const ConvAlgorithm algorithm : all_algorithms()) {
      check_data(p, algorithm, true, e);
      check_weights(p, algorithm, e);
    }
  }
}

TEST_CASE("gradients: subnormal numbers are zeros, and only in there") {
  if (!FlushSubnormals::kSupported) {
    WARN("skipped: this processor's control register is not known to srengine");
    return;
  }
  const auto shrink = [](HugeBuffer& buffer) {
    for (float& v : std::span(buffer.data(), buffer.size())) v *= subnormal;  // NaN stays
  };
  for (const int kernel : {1, 3, 5, 9}) {
    const ConvCase c = {{12, 13, 19}, 8, 8, kernel, false, false};
    Problem features(c, 1, 5), gradients(c, 1, 5);
    shrink(features.features[0]);
    shrink(gradients.gradients[0]);
    const std::vector<float> flipped = transposed_weights(gradients.weights());
    for (const ConvAlgorithm algorithm : all_algorithms()) {
      INFO(to_string(c) << " " << to_string(algorithm));
      CHECK(rms(weights_of(features, algorithm, 2, nullptr)) == 0);
      CHECK(rms(weights_of(gradients, algorithm, 2, nullptr)) == 0);
      CHECK(threads_keep_subnormals());

      const PackedConv packed({c.co, c.ci, c.kernel, flipped.data()}, algorithm);
      ConvScratch scratch(2);
      HugeBuffer f = copy_of(gradients.features[0]), g = copy_of(gradients.gradients[0]);
      conv3d_backward_data_cpu({f.data(), gradients.layout}, {g.data(), gradients.layout}, gradients.x, {}, packed,
                               gradients.y, false, nullptr, scratch);
      CHECK(all_zero({g.data(), gradients.layout}, gradients.x));
      CHECK(threads_keep_subnormals());
    }
  }
}

TEST_CASE("gradients of weights do not depend on the number of threads") {
  for (const int kernel : {1, 3, 5}) {
    const Problem p({{21, 22, 23}, 9, kernel == 5 ? 1 : 6, kernel, true, false}, 3, 11);
    for (const ConvAlgorithm algorithm : all_algorithms())
      CHECK(weights_of(p, algorithm, 1, nullptr) == weights_of(p, algorithm, 3, nullptr));
  }
}

}  // namespace sr
