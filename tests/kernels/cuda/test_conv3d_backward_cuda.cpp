// The gradients of the CUDA kernels under emulation (kernels/emulation), or on a GPU where the table comes from the
// plugin, against the plain loops: values, sums, and that nothing else is touched.
#include <cmath>
#include <random>

#include "kernels/pointwise.h"
#include "tests/support/conv_on_device.h"

namespace sr {
namespace {

using cuda::Result;

// A batch of two patches; every fourth slope of a PReLU is 0.
ConvProblem problem(const ConvCase& c, unsigned seed) {
  return ConvProblem(c, Direction::backward, seed, {.n_patches = 2, .fourth_slope = 0});
}

// What a problem looks like on the device.
struct OnGpu {
  explicit OnGpu(const ConvProblem& problem, bool accumulate)
      : p(problem),
        layout(p),
        g_before(batch_of(layout, accumulate ? p.dx : std::vector<float>{}, p.dy)),
        f(batch_of(layout, p.x, {})),
        g(g_before),
        x_image(p.x),
        dy_image(p.dy),
        norm(p) {}
  cuda::FeatureMaps maps(const OnDevice<float>& data) const {
    return operand(layout, data.data(), {0, 4}, nullptr).maps;
  }
  cuda::Operand x() const { return operand(layout, f.data(), layout.x, x_image.data()); }
  cuda::Operand dy() const { return operand(layout, g.data(), layout.y, dy_image.data()); }

  const ConvProblem& p;
  const QuadMaps layout;
  const std::vector<float> g_before;
  const OnDevice<float> f, g, x_image, dy_image;
  const DeviceNorm norm;
};

struct DataOutcome {
  std::vector<float> g;
  std::vector<ChannelSums> sums;
  std::vector<float> dslope;  // of a PReLU
};

DataOutcome run_data(const ConvProblem& p, bool accumulate) {
  const OnGpu d(p, accumulate);
  const std::vector<float> flipped = transposed_weights(p.weights());
  const ConvWeights transposed = {p.c.co, p.c.ci, p.c.kernel, flipped.data()};
  const OnDevice<char> weights(packed_for_device(transposed, cuda::Precision::fp32));
  const int n_parts = api().conv3d_parts(transposed, cuda::Precision::fp32, p.c.size);
  const int64_t n = int64_t{p.n_patches} * p.c.ci * n_parts;
  const OnDevice<float> partial(unwritten<float>(2 * n)), slopes(unwritten<float>(n)),
      dslope(std::vector<float>(static_cast<size_t>(p.c.ci), 0.0f));
  const OnDevice<ChannelSums> sums(unwritten<ChannelSums>(p.c.ci));
  REQUIRE(api().training.conv3d_backward_data({.shape = transposed,
                                               .packed_weights = weights.data(),
                                               .dy = d.dy(),
                                               .f = d.maps(d.f),
                                               .g = d.maps(d.g),
                                               .x = d.layout.x,
                                               .prologue = d.norm.prologue(),
                                               .accumulate = accumulate,
                                               .partial_sums = partial.data(),
                                               .partial_slopes = p.c.prelu ? slopes.data() : nullptr},
                                              nullptr) == Result::ok);
  REQUIRE(api().training.reduce_batch_sums(partial.data(), p.n_patches, p.c.ci, n_parts, sums.data(), nullptr) ==
          Result::ok);
  if (p.c.prelu)
    REQUIRE(api().training.reduce_parts(slopes.data(), p.c.ci, p.n_patches * n_parts, nullptr, p.c.ci, dslope.data(),
                                        nullptr) == Result::ok);
  return {d.g.back(), sums.back(), dslope.back()};
}

Worst check_data(const ConvProblem& p, bool accumulate) {
  const ExpectedData e = expected_data(p, accumulate);
  const DataOutcome got = run_data(p, accumulate);
  // da has the size of 1; float32's rounding of its sum, the exponential's 1e-7, and scale's on the way out.
  const double n = p.c.co * p.c.kernel * p.c.kernel * p.c.kernel;
  const double of_da = 4 * (1.2e-7 * std::sqrt(n + 1) + 2e-7);
  const auto scale_of = [&](int c) { return p.c.prologue ? std::abs(p.scale[c]) : 1.0; };
  for (int c = 0; c < p.c.ci; c++) {
    const auto i = static_cast<size_t>(c);
    GradientSums sums;  // of all patches
    for (int patch = 0; patch < p.n_patches; patch++) {
      const GradientSums& s = e.sums[patch * p.c.ci + c];
      sums.sum += s.sum, sums.sum_times_x += s.sum_times_x, sums.slope += s.slope;
    }
    const double limit = of_da * (1 + 0.2 * scale_of(c)) * static_cast<double>(p.voxels() * p.n_patches);
    CHECK(std::abs(got.sums[i].sum - sums.sum) <= limit);
    CHECK(std::abs(got.sums[i].sum_of_squares - sums.sum_times_x) <= 2 * limit);
    CHECK(std::abs(double{got.dslope[i]} - sums.slope) <= 2 * std::max(1.0, scale_of(c)) * limit);
  }
  const QuadMaps layout(p);
  return check_batch(layout, layout.x, batch_of(layout, accumulate ? p.dx : std::vector<float>{}, p.dy), got.g, e.dx,
                     [&](int c, double want) {
                       // A steep channel's slope is as wrong as its exponent is, which is scale times rounded.
                       const double scale = scale_of(c);
                       return of_da * std::max(1.0, scale) * (1 + scale * 0.2) + 1.2e-7 * std::abs(want);
                     });
}

struct WeightsOutcome {
  std::vector<float> dweight, dbias;
};

WeightsOutcome run_weights(const ConvProblem& p) {
  const OnGpu d(p, true);
  const ConvWeights shape = p.weights();
  const auto n = static_cast<int64_t>(p.weight.size());
  const int n_parts = api().training.backward_weights_parts(shape, p.c.size, p.n_patches);
  const OnDevice<float> partial(unwritten<float>(n * n_parts)), dweight(unwritten<float>(n));
  REQUIRE(api().training.conv3d_backward_weights({.shape = shape,
                                                  .patch = p.c.size,
                                                  .n_patches = p.n_patches,
                                                  .x = d.x(),
                                                  .prologue = d.norm.prologue(),
                                                  .dy = d.dy(),
                                                  .partial = partial.data()},
                                                 nullptr) == Result::ok);
  REQUIRE(api().training.reduce_parts(partial.data(), n, n_parts, nullptr, n, dweight.data(), nullptr) == Result::ok);
  const OnDevice<float> totals(unwritten<float>(p.n_patches * p.c.co)), dbias(unwritten<float>(p.c.co));
  REQUIRE(api().training.channel_totals(d.dy(), p.c.size, p.n_patches, totals.data(), nullptr) == Result::ok);
  REQUIRE(api().training.reduce_parts(totals.data(), p.c.co, p.n_patches, nullptr, p.c.co, dbias.data(), nullptr) ==
          Result::ok);
  return {dweight.back(), dbias.back()};
}

Worst check_weights(const ConvProblem& p) {
  const ExpectedWeights e = expected_weights(p);
  const WeightsOutcome got = run_weights(p);
  const double root_of_n = std::sqrt(static_cast<double>(p.voxels() * p.n_patches));
  double size = std::max(rms(e.dweight), root_of_n);
  for (const float s : p.scale) size = std::max(size, p.c.prologue ? double{std::abs(s)} * root_of_n : 0.0);
  return check_weight_gradients(got.dweight, got.dbias, e, 1e-6 * size, 1e-6 * root_of_n);
}

// A layer's data gradient is not asked for where its input is the image.
void check(const std::vector<ConvCase>& cases) {
  Worst worst;
  unsigned seed = 1;
  for (const ConvCase& c : cases) {
    INFO(to_string(c));
    const ConvProblem p = problem(c, seed++);
    if (c.ci > 1) worst.take(check_data(p, true), c), worst.take(check_data(p, false), c);
    worst.take(check_weights(p), c);
  }
  worst.print(std::string("gradients, ") + api().description(), cases.size());
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
    INFO(to_string(c));
    const ConvProblem p = problem(c, 1);
    check_orders([&] {
      const WeightsOutcome w = run_weights(p);
      const DataOutcome d = c.ci > 1 ? run_data(p, true) : DataOutcome{};
      std::vector<double> row(w.dweight.begin(), w.dweight.end());
      for (const std::vector<float>& more : {w.dbias, d.dslope, d.g}) row.insert(row.end(), more.begin(), more.end());
      for (const ChannelSums& s : d.sums) row.push_back(s.sum), row.push_back(s.sum_of_squares);
      return row;
    });
  }
}

}  // namespace sr
