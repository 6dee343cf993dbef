// The gradients of the CUDA kernels under emulation (kernels/emulation), or on a GPU where the table comes from the
// plugin, against the plain loops: values, sums, and that nothing else is touched.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>

#include "kernels/conv3d_backward.h"
#include "kernels/emulation/settings.h"
#include "kernels/pointwise.h"
#include "tests/support/cases.h"
#include "tests/support/catch.h"
#include "tests/support/cuda_test_api.h"
#include "tests/support/on_device.h"
#include "tests/support/quads.h"

namespace sr {
namespace {

using cuda::Result;

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// A batch of two patches. Feature maps and gradients hold four channels in front of x, x, four between, y, four behind;
// a single channel is an image instead. What is neither input nor to be added to is NaN.
struct Problem {
  Problem(const ConvCase& conv_case, unsigned seed) : c(conv_case), voxels(c.size.voxels()) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const auto numbers = [&](size_t n, double size) {
      std::vector<float> v(n);
      for (float& number : v) number = static_cast<float>(size * normal(random));
      return v;
    };
    const int taps = c.kernel * c.kernel * c.kernel;
    weight = numbers(static_cast<size_t>(c.co * c.ci * taps), 1 / std::sqrt(c.co * taps));
    for (int i = 0; i < c.ci; i++) {
      scale.push_back(i % 5 == 4 ? 30.0f : normal(random));
      shift.push_back(normal(random));
      slope.push_back(i % 4 == 3 ? 0.0f : normal(random));
    }
    x = numbers(static_cast<size_t>(n_patches * c.ci * voxels), 1);
    dx = numbers(x.size(), 1);
    dy = numbers(static_cast<size_t>(n_patches * c.co * voxels), 1);
  }

  static constexpr int n_patches = 2;
  int y_first() const { return c.ci + 8; }
  int n_channels() const { return y_first() + c.co + 4; }
  ConvWeights shape() const { return {c.ci, c.co, c.kernel, weight.data()}; }
  // Where a channel of x or y lies in maps of n_channels() rounded up to quads.
  int stored_channels() const { return (n_channels() + 3) / 4 * 4; }
  size_t at(int patch, int channel, int64_t voxel) const {
    return quad_index(stored_channels(), voxels, patch, channel, voxel);
  }
  int y_channel() const { return (c.ci + 3) / 4 * 4 + 8; }
  std::vector<float> maps(const std::vector<float>& at_x, const std::vector<float>& at_y) const {
    std::vector<float> m(static_cast<size_t>(n_patches * stored_channels() * voxels), kNaN);
    for (int p = 0; p < n_patches; p++)
      for (int64_t v = 0; v < voxels; v++) {
        for (int i = 0; i < c.ci && !at_x.empty(); i++) m[at(p, 4 + i, v)] = at_x[index(p, c.ci, i, v)];
        for (int i = 0; i < c.co && !at_y.empty(); i++) m[at(p, y_channel() + i, v)] = at_y[index(p, c.co, i, v)];
      }
    return m;
  }
  size_t index(int patch, int count, int channel, int64_t v) const {
    return static_cast<size_t>((int64_t{patch} * count + channel) * voxels + v);
  }

  ConvCase c;
  int64_t voxels;
  std::vector<float> weight, scale, shift, slope;
  std::vector<float> x, dx, dy;  // [patch][channel][voxel]; dx: what other readers have left
};

// The plain loops.
struct Expected {
  std::vector<double> dx, dweight, dbias;  // dx: [patch][ci][voxel]
  std::vector<GradientSums> sums;          // [ci], of all patches
};

enum class Of { data, weights };

Expected expect(const Problem& p, Of what, bool accumulate) {
  Expected e;
  const Layout layout = dense_layout(p.c.size);
  const std::vector<double> a(p.scale.begin(), p.scale.end()), b(p.shift.begin(), p.shift.end()),
      s(p.slope.begin(), p.slope.end());
  const Prologue<double> prologue =
      p.c.prologue ? Prologue<double>{a.data(), b.data(), p.c.prelu ? s.data() : nullptr} : Prologue<double>{};
  e.dweight.resize(p.weight.size());
  e.dbias.resize(static_cast<size_t>(p.c.co));
  e.sums.resize(static_cast<size_t>(p.c.ci));
  const Channels x = {0, p.c.ci}, y = {p.c.ci, p.c.co};
  for (int patch = 0; patch < Problem::n_patches; patch++) {
    std::vector<double> f(static_cast<size_t>(buffer_elements(layout, p.c.ci + p.c.co))), g(f.size());
    const Features<double> features = {f.data(), layout}, gradients = {g.data(), layout};
    for (int64_t v = 0; v < p.voxels; v++) {
      for (int i = 0; i < p.c.ci; i++) {
        features.at(i)[v] = p.x[p.index(patch, p.c.ci, i, v)];
        gradients.at(i)[v] = p.dx[p.index(patch, p.c.ci, i, v)];
      }
      for (int i = 0; i < p.c.co; i++) gradients.at(p.c.ci + i)[v] = p.dy[p.index(patch, p.c.co, i, v)];
    }
    if (what == Of::weights) {
      conv3d_backward_weights_ref(features, gradients, x, prologue, p.c.kernel, y, e.dweight.data(), e.dbias.data());
      continue;
    }
    std::vector<GradientSums> sums(e.sums.size());
    conv3d_backward_data_ref(features, gradients, x, prologue, p.shape(), y, accumulate, sums.data());
    for (size_t i = 0; i < sums.size(); i++) {
      e.sums[i].sum += sums[i].sum;
      e.sums[i].sum_times_x += sums[i].sum_times_x;
      e.sums[i].slope += sums[i].slope;
    }
    for (int i = 0; i < p.c.ci; i++) e.dx.insert(e.dx.end(), gradients.at(i), gradients.at(i) + p.voxels);
  }
  return e;
}

double rms(const std::vector<double>& v) {
  double squares = 0;
  for (const double x : v) squares += x * x;
  return std::sqrt(squares / static_cast<double>(v.size()));
}

// What a problem looks like on the device.
struct OnGpu {
  explicit OnGpu(const Problem& problem, bool accumulate)
      : p(problem),
        f(p.maps(p.x, {})),
        g(p.maps(accumulate ? p.dx : std::vector<float>{}, p.c.co > 1 ? p.dy : std::vector<float>{})),
        x_image(p.x),
        dy_image(p.dy),
        scale(p.scale),
        shift(p.shift),
        slope(p.slope) {}
  cuda::FeatureMaps maps(const OnDevice<float>& data) const {
    return {data.data(), p.c.size, Problem::n_patches, p.stored_channels() * p.voxels};
  }
  cuda::Operand x() const {
    return p.c.ci == 1 ? cuda::Operand{{}, {0, 1}, x_image.data()} : cuda::Operand{maps(f), {4, p.c.ci}};
  }
  cuda::Operand dy() const {
    return p.c.co == 1 ? cuda::Operand{{}, {0, 1}, dy_image.data()} : cuda::Operand{maps(g), {p.y_channel(), p.c.co}};
  }
  cuda::DevicePrologue prologue() const {
    return p.c.prologue ? cuda::DevicePrologue{scale.data(), shift.data(), 0, p.c.prelu ? slope.data() : nullptr}
                        : cuda::DevicePrologue{};
  }

  const Problem& p;
  const OnDevice<float> f, g, x_image, dy_image, scale, shift, slope;
};

struct DataOutcome {
  std::vector<float> g;
  std::vector<ChannelSums> sums;
  std::vector<float> dslope;  // of a PReLU
};

DataOutcome run_data(const Problem& p, bool accumulate) {
  const OnGpu d(p, accumulate);
  const std::vector<float> flipped = transposed_weights(p.shape());
  const ConvWeights transposed = {p.c.co, p.c.ci, p.c.kernel, flipped.data()};
  std::vector<char> packed(static_cast<size_t>(api().conv3d_packed_bytes(transposed, cuda::Precision::fp32)));
  api().conv3d_pack(transposed, cuda::Precision::fp32, packed.data());
  const OnDevice<char> weights(packed);
  const int n_parts = api().conv3d_parts(transposed, cuda::Precision::fp32, p.c.size);
  const OnDevice<float> partial(
      std::vector<float>(static_cast<size_t>(Problem::n_patches * p.c.ci * n_parts * 2), kNaN));
  const OnDevice<ChannelSums> sums(std::vector<ChannelSums>(static_cast<size_t>(p.c.ci), {kNaN, kNaN}));
  const OnDevice<float> slopes(std::vector<float>(static_cast<size_t>(Problem::n_patches * p.c.ci * n_parts), kNaN)),
      dslope(std::vector<float>(static_cast<size_t>(p.c.ci), 0.0f));
  REQUIRE(api().training.conv3d_backward_data({.shape = transposed,
                                               .packed_weights = weights.data(),
                                               .dy = d.dy(),
                                               .f = d.maps(d.f),
                                               .g = d.maps(d.g),
                                               .x = {4, p.c.ci},
                                               .prologue = d.prologue(),
                                               .accumulate = accumulate,
                                               .partial_sums = partial.data(),
                                               .partial_slopes = p.c.prelu ? slopes.data() : nullptr},
                                              nullptr) == Result::ok);
  REQUIRE(api().training.reduce_batch_sums(partial.data(), Problem::n_patches, p.c.ci, n_parts, sums.data(), nullptr) ==
          Result::ok);
  if (p.c.prelu)
    REQUIRE(api().training.reduce_parts(slopes.data(), p.c.ci, Problem::n_patches * n_parts, nullptr, p.c.ci,
                                        dslope.data(), nullptr) == Result::ok);
  return {d.g.back(), sums.back(), dslope.back()};
}

void check_data(const Problem& p, bool accumulate, double& worst) {
  const Expected e = expect(p, Of::data, accumulate);
  const DataOutcome got = run_data(p, accumulate);
  const std::vector<float> before =
      p.maps(accumulate ? p.dx : std::vector<float>{}, p.c.co > 1 ? p.dy : std::vector<float>{});
  // da has the size of 1; float32's rounding of its sum, the exponential's 1e-7, and scale's on the way out.
  const double n = p.c.co * p.c.kernel * p.c.kernel * p.c.kernel;
  const double of_da = 4 * (1.2e-7 * std::sqrt(n + 1) + 2e-7);
  bool untouched = true;
  for (int patch = 0; patch < Problem::n_patches; patch++)
    for (int64_t v = 0; v < p.voxels; v++)
      for (int c = 0; c < p.stored_channels(); c++) {
        const float value = got.g[p.at(patch, c, v)];
        if (c < 4 || c >= 4 + p.c.ci) {
          untouched = untouched && std::memcmp(&value, &before[p.at(patch, c, v)], sizeof value) == 0;
          continue;
        }
        const double scale = p.c.prologue ? std::abs(p.scale[static_cast<size_t>(c - 4)]) : 1.0;
        const double want = e.dx[p.index(patch, p.c.ci, c - 4, v)];
        // A steep channel's slope is as wrong as its exponent is, which is scale times rounded.
        const double limit = of_da * std::max(1.0, scale) * (1 + scale * 0.2) + 1.2e-7 * std::abs(want);
        const double share = std::abs(value - want) / limit;
        worst = std::isnan(share) ? 1e30 : std::max(worst, share);
      }
  CHECK(untouched);
  for (size_t i = 0; i < e.sums.size(); i++) {
    const double scale = p.c.prologue ? std::abs(p.scale[i]) : 1.0;
    const double limit = of_da * (1 + 0.2 * scale) * static_cast<double>(p.voxels * Problem::n_patches);
    CHECK(std::abs(got.sums[i].sum - e.sums[i].sum) <= limit);
    CHECK(std::abs(got.sums[i].sum_of_squares - e.sums[i].sum_times_x) <= 2 * limit);
    CHECK(std::abs(double{got.dslope[i]} - e.sums[i].slope) <= 2 * std::max(1.0, scale) * limit);
  }
}

struct WeightsOutcome {
  std::vector<float> dweight, dbias;
};

WeightsOutcome run_weights(const Problem& p) {
  const OnGpu d(p, true);
  const ConvWeights shape = p.shape();
  const auto n = static_cast<int64_t>(p.weight.size());
  const int n_parts = api().training.backward_weights_parts(shape, p.c.size, Problem::n_patches);
  const OnDevice<float> partial(std::vector<float>(static_cast<size_t>(n * n_parts), kNaN));
  const OnDevice<float> dweight(std::vector<float>(static_cast<size_t>(n), kNaN));
  REQUIRE(api().training.conv3d_backward_weights({.shape = shape,
                                                  .patch = p.c.size,
                                                  .n_patches = Problem::n_patches,
                                                  .x = d.x(),
                                                  .prologue = d.prologue(),
                                                  .dy = d.dy(),
                                                  .partial = partial.data()},
                                                 nullptr) == Result::ok);
  REQUIRE(api().training.reduce_parts(partial.data(), n, n_parts, nullptr, n, dweight.data(), nullptr) == Result::ok);
  const OnDevice<float> totals(std::vector<float>(static_cast<size_t>(Problem::n_patches * p.c.co), kNaN));
  const OnDevice<float> dbias(std::vector<float>(static_cast<size_t>(p.c.co), kNaN));
  REQUIRE(api().training.channel_totals(d.dy(), p.c.size, Problem::n_patches, totals.data(), nullptr) == Result::ok);
  REQUIRE(api().training.reduce_parts(totals.data(), p.c.co, Problem::n_patches, nullptr, p.c.co, dbias.data(),
                                      nullptr) == Result::ok);
  return {dweight.back(), dbias.back()};
}

void check_weights(const Problem& p, double& worst) {
  const Expected e = expect(p, Of::weights, true);
  const WeightsOutcome got = run_weights(p);
  const double n = static_cast<double>(p.voxels * Problem::n_patches);
  double size = rms(e.dweight);
  for (const float s : p.scale) size = std::max(size, p.c.prologue ? double{std::abs(s)} * std::sqrt(n) : 0.0);
  const double limit = 1e-6 * std::max(size, std::sqrt(n));
  for (size_t i = 0; i < e.dweight.size(); i++) {
    const double share = std::abs(got.dweight[i] - e.dweight[i]) / limit;
    worst = std::isnan(share) ? 1e30 : std::max(worst, share);
  }
  for (size_t i = 0; i < e.dbias.size(); i++) CHECK(std::abs(got.dbias[i] - e.dbias[i]) <= 1e-6 * std::sqrt(n));
}

// A layer's data gradient is not asked for where its input is the image.
void check(const std::vector<ConvCase>& cases) {
  double worst = 0;
  unsigned seed = 1;
  for (const ConvCase& c : cases) {
    INFO(to_string(c));
    const Problem p(c, seed++);
    double share = 0;
    if (c.ci > 1) check_data(p, true, share), check_data(p, false, share);
    check_weights(p, share);
    CHECK(share <= 1);
    worst = std::max(worst, share);
  }
  std::printf("%s: gradients of %zu layers, largest error %.0f %% of the tolerance\n", api().description(),
              cases.size(), 100 * worst);
}

}  // namespace

TEST_CASE("gradients on the device equal the plain loops at odd sizes") {
  // Tiles are 24 x 8 x 4, 20 x 4 x 4 and 32 x 4 voxels, runs 64 and more; channels go in groups of 4 to 48.
  std::vector<ConvCase> cases;
  const auto add = [&](Size3 size, const std::vector<std::pair<int, int>>& channels) {
    for (const auto& [ci, co] : channels)
      for (const int kernel : {1, 3})
        for (const bool prologue : {false, true})
          if (!(ci == 1 && (prologue || kernel == 1))) cases.push_back({size, ci, co, kernel, prologue, false});
  };
  for (const Size3 size : {Size3{1, 1, 1}, Size3{1, 1, 30}, Size3{1, 9, 1}, Size3{5, 1, 1}})
    add(size, {{1, 8}, {4, 4}, {8, 12}, {36, 24}, {12, 1}});
  add({5, 9, 25}, {{1, 4}, {1, 16}, {4, 1}, {4, 4}, {8, 12}, {20, 8}, {12, 16}, {36, 24}, {48, 20}});
  check(cases);
}

TEST_CASE("gradients behind PReLU on the device equal the plain loops") {
  std::vector<ConvCase> cases;
  for (const int kernel : {1, 3})
    for (const auto& [ci, co] : {std::pair{4, 1}, {8, 12}, {12, 12}, {12, 56}, {56, 12}, {64, 64}})
      cases.push_back({{5, 9, 10}, ci, co, kernel, true, false, true});
  check(cases);
}

TEST_CASE("gradients of 5x5x5 and 9x9x9 layers on the device equal the plain loops at odd sizes") {
  // Tiles are 24 x 8 x 8 and 24 x 8 x 4 voxels; channels go in groups of 4 and 8.
  std::vector<ConvCase> cases;
  for (const int kernel : {5, 9}) {
    for (const Size3 size : {Size3{1, 1, 1}, Size3{1, 1, 30}, Size3{1, 11, 1}, Size3{13, 1, 1}, Size3{9, 10, 25}}) {
      cases.push_back({size, 1, 4, kernel, false, false});
      cases.push_back({size, 8, 1, kernel, true, false, true});
    }
    cases.push_back({{5, 9, 11}, 1, 8, kernel, false, false});
    cases.push_back({{5, 9, 11}, 12, 1, kernel, false, false});
    cases.push_back({{3, 4, 27}, 56, 1, kernel, true, false});
  }
  check(cases);
}

TEST_CASE("the ways back of PReLU and of the sum behind a norm on the device equal the plain loops") {
  // 12 channels of x, of skip and of y one behind the other, of patches of two parts each.
  const Layout layout = dense_layout({9, 21, 23});
  const int64_t voxels = layout.size.voxels();
  const Channels x = {0, 12}, skip = {12, 12}, y = {24, 12};
  const int n_channels = 40, n_patches = 2, n_parts = api().training.pointwise_parts(layout.size);
  REQUIRE(n_parts == 2);
  std::mt19937 random(1);
  const auto at = [&](int patch, int c, int64_t v) { return quad_index(n_channels, voxels, patch, c, v); };
  const std::vector<float> f = normal_numbers(n_patches * n_channels * voxels, random),
                           g = normal_numbers(n_patches * n_channels * voxels, random),
                           factor = normal_numbers(x.count, random);
  const std::vector<double> factors(factor.begin(), factor.end());
  const OnDevice<float> device_factor(factor), device_f(f);
  const auto maps = [&](const OnDevice<float>& data) {
    return cuda::FeatureMaps{data.data(), layout.size, n_patches, n_channels * voxels};
  };
  for (const bool accumulate : {false, true})
    for (const bool prelu : {false, true}) {
      INFO((prelu ? "PReLU" : "sum") << (accumulate ? ", added" : ""));
      std::vector<double> expected(g.size()), slopes(factors.size());
      std::vector<GradientSums> sums(factors.size());
      for (int patch = 0; patch < n_patches; patch++) {
        std::vector<double> of_f(static_cast<size_t>(buffer_elements(layout, n_channels))), of_g(of_f.size());
        const Features<double> features = {of_f.data(), layout}, gradients = {of_g.data(), layout};
        for (int c = 0; c < n_channels; c++)
          for (int64_t v = 0; v < voxels; v++) {
            features.at(c)[v] = f[at(patch, c, v)];
            gradients.at(c)[v] = g[at(patch, c, v)];
          }
        std::vector<double> slopes_of_patch(slopes.size());
        std::vector<GradientSums> of_patch(sums.size());
        if (prelu)
          prelu_backward(features, gradients, x, factors.data(), y, accumulate, slopes_of_patch.data(), 1);
        else
          norm_add_backward(features, gradients, x, factors.data(), skip, y, accumulate, of_patch.data(), 1);
        for (size_t c = 0; c < sums.size(); c++) {
          slopes[c] += slopes_of_patch[c];
          sums[c].sum += of_patch[c].sum;
          sums[c].sum_times_x += of_patch[c].sum_times_x;
        }
        for (int c = 0; c < n_channels; c++)
          for (int64_t v = 0; v < voxels; v++) expected[at(patch, c, v)] = gradients.at(c)[v];
      }

      const OnDevice<float> device_g(g);
      const OnDevice<float> partial(std::vector<float>(static_cast<size_t>(2 * n_patches * n_parts * x.count), kNaN));
      const double rounding = 1e-6 * static_cast<double>(voxels);
      if (prelu) {
        REQUIRE(api().training.prelu_backward(maps(device_f), maps(device_g), x, device_factor.data(), y, accumulate,
                                              partial.data(), nullptr) == Result::ok);
        const OnDevice<float> dslope(std::vector<float>(factor.size(), kNaN));
        REQUIRE(api().training.reduce_parts(partial.data(), x.count, n_patches * n_parts, nullptr, x.count,
                                            dslope.data(), nullptr) == Result::ok);
        for (size_t c = 0; c < slopes.size(); c++) CHECK(std::abs(dslope.back()[c] - slopes[c]) < rounding);
      } else {
        REQUIRE(api().training.norm_add_backward(maps(device_f), maps(device_g), x, device_factor.data(), skip, y,
                                                 accumulate, partial.data(), nullptr) == Result::ok);
        const OnDevice<ChannelSums> device_sums(std::vector<ChannelSums>(factor.size(), {kNaN, kNaN}));
        REQUIRE(api().training.reduce_batch_sums(partial.data(), n_patches, x.count, n_parts, device_sums.data(),
                                                 nullptr) == Result::ok);
        const std::vector<ChannelSums> got = device_sums.back();
        for (size_t c = 0; c < sums.size(); c++) {
          CHECK(std::abs(got[c].sum - sums[c].sum) < rounding);
          CHECK(std::abs(got[c].sum_of_squares - sums[c].sum_times_x) < rounding);
        }
      }
      const std::vector<float> after = device_g.back();
      double worst = 0;
      for (size_t i = 0; i < after.size(); i++) {
        const double error = std::abs(after[i] - expected[i]) / std::max(1.0, std::abs(expected[i]));
        worst = std::isnan(error) ? 1e30 : std::max(worst, error);
      }
      CHECK(worst < 5e-7);
    }
}

TEST_CASE("gradients of the layers of every growth rate on the device equal the plain loops") {
  std::vector<ConvCase> cases;
  for (const int k : {8, 12, 16, 24})
    for (const ConvCase& c : layers_of_network({5, 4, 9}, k)) cases.push_back(c);
  check(cases);
}

TEST_CASE("gradients on the device do not depend on the order in which blocks and threads run") {
  if (!device_is_emulated()) return;
  for (const ConvCase& c :
       {ConvCase{{5, 9, 25}, 8, 12, 3, true, false}, ConvCase{{5, 9, 33}, 8, 1, 3, true, false},
        ConvCase{{5, 9, 25}, 36, 8, 1, true, false}, ConvCase{{5, 9, 25}, 24, 1, 1, false, false},
        ConvCase{{5, 9, 25}, 1, 8, 3, false, false}, ConvCase{{5, 9, 25}, 8, 1, 5, true, false, true},
        ConvCase{{5, 9, 25}, 1, 8, 5, false, false}}) {
    const Problem p(c, 1);
    const auto run_all = [&] {
      const WeightsOutcome w = run_weights(p);
      DataOutcome d = c.ci > 1 ? run_data(p, true) : DataOutcome{};
      std::vector<float> row = w.dweight;
      row.insert(row.end(), w.dbias.begin(), w.dbias.end());
      for (const ChannelSums& s : d.sums)
        row.push_back(static_cast<float>(s.sum)), row.push_back(static_cast<float>(s.sum_of_squares));
      row.insert(row.end(), d.dslope.begin(), d.dslope.end());
      row.insert(row.end(), d.g.begin(), d.g.end());
      return row;
    };
    const std::vector<float> forward = run_all();
    for (const emulation::Order order : {emulation::Order::reverse, emulation::Order::random}) {
      emulation::settings().order = order;
      const std::vector<float> other = run_all();
      CHECK(other.size() == forward.size());
      CHECK(std::memcmp(other.data(), forward.data(), forward.size() * sizeof(float)) == 0);
    }
    emulation::settings().order = emulation::Order::forward;
  }
}

}  // namespace sr
