// Gradients of the convolution: the plain loops against finite differences, the kernels against the plain loops.
#include <algorithm>
#include <cmath>
#include <random>

#include "tests/support/conv_layouts.h"
#include "tests/support/subnormals.h"

namespace sr {
namespace {

double tolerance(ConvAlgorithm algorithm) {
  return algorithm == ConvAlgorithm::winograd4 ? 4e-5 : algorithm == ConvAlgorithm::winograd2 ? 6e-6 : 3e-6;
}

// The gradients of a batch before its data gradient: x has what other readers have left, or nothing yet.
std::vector<float> gradients_before(const ConvProblem& p, bool accumulate) {
  return batch_of(PaddedRows(p), accumulate ? p.dx : std::vector<float>{}, p.dy);
}

struct DataResult {
  HugeBuffer gradients;
  std::vector<GradientSums> sums;  // [patch][ci]
};

DataResult run_data(const ConvProblem& p, ConvAlgorithm algorithm, bool accumulate) {
  const PaddedRows layout(p);
  const std::vector<float> flipped = transposed_weights(p.weights());
  const PackedConv packed({p.c.co, p.c.ci, p.c.kernel, flipped.data()}, algorithm);
  HugeBuffer f = aligned(batch_of(layout, p.x, {}));
  DataResult r = {aligned(gradients_before(p, accumulate)),
                  std::vector<GradientSums>(static_cast<size_t>(p.n_patches * p.c.ci))};
  ConvScratch scratch(2);
  for (int i = 0; i < p.n_patches; i++)
    conv3d_backward_data_cpu(layout.features(f.data(), i), layout.features(r.gradients.data(), i), layout.x,
                             p.prologue(), packed, layout.y, accumulate, r.sums.data() + i * p.c.ci, scratch);
  return r;
}

Worst check_data(const ConvProblem& p, ConvAlgorithm algorithm, bool accumulate, const ExpectedData& e) {
  INFO(to_string(p.c) << " " << to_string(algorithm) << (accumulate ? " accumulate" : ""));
  const DataResult got = run_data(p, algorithm, accumulate);
  const auto scale_of = [&](size_t channel) { return p.c.prologue ? double{p.scale[channel]} : 1.0; };

  // The sums follow from the gradients.
  double squares = 0;
  const DenseChannels dense = {p.c.size, p.n_patches, p.c.ci};
  for (int patch = 0; patch < p.n_patches; patch++)
    for (int c = 0; c < p.c.ci; c++) {
      const auto channel = static_cast<size_t>(c);
      double sum = 0, sum_times_x = 0, size_of_sum = 0, size_of_times_x = 0, of_slope = 0, size_of_slope = 0;
      for_voxels(dense, patch, c, [&](size_t, size_t at) {
        const double dt = (e.dx[at] - (accumulate ? p.dx[at] : 0.0f)) / scale_of(channel), x = p.x[at];
        sum += dt, sum_times_x += dt * x;
        size_of_sum += std::abs(dt), size_of_times_x += std::abs(dt * x);
        squares += dt * dt;
        if (!p.c.prelu) return;
        const double t = double{p.scale[channel]} * x + p.shift[channel];
        const double da_t = t < 0 ? dt / p.slope[channel] * t : 0.0;
        of_slope += da_t, size_of_slope += std::abs(da_t);
      });
      const GradientSums& s = got.sums[patch * p.c.ci + c];
      CHECK(std::abs(s.sum - sum) <= 1e-6 + tolerance(algorithm) * size_of_sum);
      CHECK(std::abs(s.sum_times_x - sum_times_x) <= 1e-6 + tolerance(algorithm) * size_of_times_x);
      CHECK(std::abs(s.slope - of_slope) <= 1e-6 + tolerance(algorithm) * size_of_slope);
    }

  const double rms_of_dt = std::sqrt(squares / static_cast<double>(e.dx.size()));
  const PaddedRows layout(p);
  return check_batch(layout, layout.x, gradients_before(p, accumulate), {got.gradients.data(), got.gradients.size()},
                     e.dx, [&](int c, double) {
                       return 10 * tolerance(algorithm) * std::max(0.1, rms_of_dt) *
                              std::max(1.0, std::abs(scale_of(static_cast<size_t>(c))));
                     });
}

std::vector<double> weights_of(const ConvProblem& p, ConvAlgorithm algorithm, int threads,
                               std::vector<double>* dbias = nullptr) {
  const PaddedRows layout(p);
  HugeBuffer f = aligned(batch_of(layout, p.x, {})), g = aligned(gradients_before(p, true));
  std::vector<TrainedPatch> patches;
  for (int i = 0; i < p.n_patches; i++) patches.push_back({layout.features(f.data(), i), layout.features(g.data(), i)});
  std::vector<double> dweight(p.weight.size());
  ConvScratch scratch(threads);
  conv3d_backward_weights_cpu(patches, layout.x, p.prologue(), p.c.kernel, layout.y, algorithm, dweight.data(),
                              dbias ? dbias->data() : nullptr, scratch);
  return dweight;
}

Worst check_weights(const ConvProblem& p, ConvAlgorithm algorithm, const ExpectedWeights& e) {
  INFO(to_string(p.c) << " " << to_string(algorithm));
  std::vector<double> dbias(e.dbias.size());
  const std::vector<double> dweight = weights_of(p, algorithm, 2, &dbias);
  // Sums of n products of rounded numbers: their error grows with the root of n, as their size does.
  const double n = static_cast<double>(p.voxels() * p.n_patches);
  return check_weight_gradients(dweight, dbias, e, tolerance(algorithm) * 4 * std::max(rms(e.dweight), std::sqrt(n)),
                                1e-9 * n + 1e-9);
}

// Of some cases, with every algorithm; large kernels, slow in the plain loops' time already, with `direct` alone, which
// all algorithms are for them.
struct Gradients {
  Worst data, weights;
  size_t n_cases = 0;
  void check(const ConvProblem& p, bool overwritten_as_well = false) {
    const ExpectedData added = expected_data(p, true);
    const ExpectedData alone = overwritten_as_well ? expected_data(p, false) : ExpectedData{};
    const ExpectedWeights e = expected_weights(p);
    for (const ConvAlgorithm algorithm : all_algorithms()) {
      if (p.c.kernel > 3 && algorithm != ConvAlgorithm::direct) continue;
      data.take(check_data(p, algorithm, true, added), p.c);
      if (overwritten_as_well) data.take(check_data(p, algorithm, false, alone), p.c);
      weights.take(check_weights(p, algorithm, e), p.c);
    }
    n_cases++;
  }
  ~Gradients() {
    data.print("gradients of data", n_cases);
    weights.print("gradients of weights", n_cases);
  }
};

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
          sum += f[c * layout.channel + v];
          squares += f[c * layout.channel + v] * f[c * layout.channel + v];
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
      for (ptrdiff_t v = ci * layout.channel; v < (ci + co) * layout.channel; v++) total += f[v] * r[v];
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
  Gradients gradients;
  unsigned seed = 1;
  for (const ConvCase& c : odd_cases()) {
    if (c.bias) continue;
    const bool small = c.size.voxels() < 300;
    gradients.check(ConvProblem(c, Direction::backward, seed++, {.n_patches = small ? 2 : 1}), small);
  }
}

TEST_CASE("the CPU kernels' gradients are the plain ones, of large kernels and PReLU") {
  Gradients gradients;
  unsigned seed = 1;
  for (const ConvCase& c : baseline_cases()) gradients.check(ConvProblem(c, Direction::backward, seed++));
}

TEST_CASE("the CPU kernels' gradients are the plain ones, on the layers of a network") {
  Gradients gradients;
  for (const ConvCase& c : layers_of_network({9, 10, 12}, 8)) gradients.check(ConvProblem(c, Direction::backward, 77));
}

TEST_CASE("gradients: subnormal numbers are zeros, and only in there") {
  if (!FlushSubnormals::kSupported) {
    WARN("skipped: this processor's control register is not known to srengine");
    return;
  }
  for (const int kernel : {1, 3, 5, 9}) {
    const ConvCase c = {{12, 13, 19}, 8, 8, kernel, false, false};
    ConvProblem features(c, Direction::backward, 5), gradients = features;
    for (float& v : features.x) v *= subnormal;
    for (float& v : gradients.dy) v *= subnormal;
    const PaddedRows layout(gradients);
    for (const ConvAlgorithm algorithm : all_algorithms()) {
      INFO(to_string(c) << " " << to_string(algorithm));
      CHECK(rms(weights_of(features, algorithm, 2)) == 0);
      CHECK(rms(weights_of(gradients, algorithm, 2)) == 0);
      CHECK(threads_keep_subnormals());

      const DataResult r = run_data(gradients, algorithm, false);
      CHECK(all_zero(layout.features(r.gradients.data(), 0), layout.x));
      CHECK(threads_keep_subnormals());
    }
  }
}

TEST_CASE("gradients of weights do not depend on the number of threads") {
  for (const int kernel : {1, 3, 5}) {
    const ConvProblem p({{21, 22, 23}, 9, kernel == 5 ? 1 : 6, kernel, true, false}, Direction::backward, 11,
                        {.n_patches = 3});
    for (const ConvAlgorithm algorithm : all_algorithms())
      CHECK(weights_of(p, algorithm, 1) == weights_of(p, algorithm, 3));
  }
}

}  // namespace sr
