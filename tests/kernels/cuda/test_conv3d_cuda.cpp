// The CUDA kernels under emulation (kernels/emulation), or on a GPU where the table comes from the plugin, against the
// plain loops: values, channel sums, and that nothing else is touched.
#include <cmath>
#include <cstring>
#include <tuple>

#include "kernels/emulation/float16.h"
#include "tests/support/conv_on_device.h"

namespace sr {
namespace {

using cuda::Precision;
using cuda::Result;

constexpr Precision kAllPrecisions[] = {Precision::fp32, Precision::tf32, Precision::f16, Precision::bf16};
constexpr Precision kOnTensorCores[] = {Precision::tf32, Precision::f16, Precision::bf16};

// Features as a precision stores them, and back.
using Bytes = std::vector<char>;
bool is_short(Precision p) {
  return p == Precision::f16 || p == Precision::bf16;
}
Bytes to_stored(const std::vector<float>& values, Precision p) {
  Bytes bytes(values.size() * (is_short(p) ? 2 : 4));
  for (size_t i = 0; i < values.size(); i++) {
    const uint16_t bits =
        p == Precision::f16 ? emulation::float_to_half_bits(values[i]) : emulation::float_to_bfloat16_bits(values[i]);
    if (is_short(p))
      std::memcpy(&bytes[2 * i], &bits, 2);
    else
      std::memcpy(&bytes[4 * i], &values[i], 4);
  }
  return bytes;
}
std::vector<float> from_stored(const Bytes& bytes, Precision p) {
  std::vector<float> values(bytes.size() / (is_short(p) ? 2 : 4));
  for (size_t i = 0; i < values.size(); i++) {
    uint16_t bits = 0;
    if (is_short(p))
      std::memcpy(&bits, &bytes[2 * i], 2);
    else
      std::memcpy(&values[i], &bytes[4 * i], 4);
    if (p == Precision::f16) values[i] = emulation::half_bits_to_float(bits);
    if (p == Precision::bf16) values[i] = emulation::bfloat16_bits_to_float(bits);
  }
  return values;
}

// A batch of two patches. Inputs are numbers that the precision's storage has, so that the plain loops see the same
// ones.
ConvProblem problem(const ConvCase& c, Precision precision = Precision::fp32) {
  ConvProblem p(c, Direction::forward, 1, {.n_patches = 2, .norm_per_patch = true});
  if (c.ci > 1) p.x = from_stored(to_stored(p.x, precision), precision);
  return p;
}

struct Outcome {
  std::vector<float> features, image;
  std::vector<ChannelSums> sums;
};

Outcome run(const ConvProblem& p, Precision precision) {
  const QuadMaps layout(p);
  const ConvWeights weights = p.weights();
  REQUIRE(api().supports(weights, precision) == nullptr);
  const OnDevice<char> packed(packed_for_device(weights, precision));
  const int n_parts = api().conv3d_parts(weights, precision, p.c.size);
  const OnDevice<char> features(to_stored(batch_of(layout, p.x, {}), precision));
  const OnDevice<float> image(p.c.ci == 1 ? p.x : unwritten<float>(p.n_patches * p.voxels())), bias(p.bias);
  const OnDevice<float> partial(unwritten<float>(int64_t{p.n_patches} * p.c.co * n_parts * 2));
  const OnDevice<ChannelSums> sums(unwritten<ChannelSums>(p.n_patches * p.c.co));
  const DeviceNorm norm(p);

  cuda::Conv3dForward f = {};
  f.precision = precision;
  f.shape = weights;
  f.packed_weights = packed.data();
  f.bias = p.c.bias ? bias.data() : nullptr;
  f.x = operand(layout, features.data(), layout.x, image.data());
  f.y = operand(layout, features.data(), layout.y, image.data());
  f.prologue = norm.prologue();
  f.partial_sums = partial.data();
  REQUIRE(api().conv3d_forward(f, nullptr) == Result::ok);
  REQUIRE(api().reduce_sums(partial.data(), p.n_patches, p.c.co, n_parts, sums.data(), p.c.co, nullptr) == Result::ok);
  REQUIRE(api().synchronize(nullptr) == Result::ok);
  return {from_stored(features.back(), precision), image.back(), sums.back()};
}

// A steep channel makes values far above the rms; such a one is rounded twice, as activation and as output.
//
// On tensor cores weights and activated values are rounded to the operand type, by up to u each (uniform: u / sqrt(3)
// rms), so n products of random signs are off by sqrt(2/3) u of the rms of their sum; six times that for the largest of
// many, and 2 u of a value that one steep channel makes. tf32 has 10 bits of mantissa, as half. An output in the
// features is rounded to the storage type.
double tolerance(const ConvCase& c, Precision p, double rms_of_y, double largest) {
  const double to_float = rounding_of_y(c, rms_of_y) + std::numeric_limits<float>::epsilon() * largest;
  const double u16 = p == Precision::bf16 ? 0x1p-8 : 0x1p-11;
  const double operand = p != Precision::fp32 && c.ci > 1 && c.co > 1 ? u16 : 0;
  const double storage = is_short(p) && c.co > 1 ? u16 : 0;
  return to_float + 6 * std::sqrt(2.0 / 3) * operand * rms_of_y + (2 * operand + storage) * largest;
}

Worst check(const ConvCase& c, Precision precision) {
  INFO(to_string(c) << " " << cuda::to_string(precision));
  const ConvProblem p = problem(c, precision);
  const ExpectedForward e = expected_forward(p);
  const Outcome got = run(p, precision);
  double largest = 0;
  for (const double y : e.y) largest = std::max(largest, std::abs(y));
  const double limit = tolerance(c, precision, rms(e.y), largest);
  const auto same_limit = [&](int, double) { return limit; };
  check_sums(p, got.sums, e, limit);

  const QuadMaps layout(p);
  const std::vector<float> before = from_stored(to_stored(batch_of(layout, p.x, {}), precision), precision);
  if (c.co > 1) {
    if (c.ci == 1) CHECK(std::memcmp(got.image.data(), p.x.data(), p.x.size() * sizeof(float)) == 0);
    return check_batch(layout, layout.y, before, got.features, e.y, same_limit);
  }
  check_batch(layout, layout.y, before, got.features, {}, same_limit);
  const DenseChannels image = {c.size, p.n_patches, 1};
  return check_batch(image, {0, 1}, unwritten<float>(p.n_patches * p.voxels()), got.image, e.y, same_limit);
}

void check_all(const std::vector<ConvCase>& cases, Precision p = Precision::fp32) {
  Worst worst;
  for (const ConvCase& c : cases) worst.take(check(c, p), c);
  worst.print(std::string(api().description()) + " " + cuda::to_string(p), cases.size());
}

bool supported(const ConvCase& c) {
  return api().supports({c.ci, c.co, c.kernel, nullptr, nullptr}, Precision::fp32) == nullptr;
}

}  // namespace

TEST_CASE("convolutions on the device equal the plain loops at odd sizes") {
  // Tiles are 24 x 8 x 4 and 32 x 4 voxels, runs 128 and more; channels go in groups of 4 to 48.
  std::vector<ConvCase> cases;
  const auto add = [&](Size3 size, const std::vector<std::pair<int, int>>& channels) {
    for (const auto& [ci, co] : channels)
      for (const int kernel : {1, 3})
        for (const bool prologue : {false, true}) {
          const ConvCase c = {size, ci, co, kernel, prologue && ci > 1, prologue};
          if (supported(c)) cases.push_back(c);
        }
  };
  for (const Size3 size : {Size3{1, 1, 1}, Size3{1, 1, 30}, Size3{1, 9, 1}, Size3{5, 1, 1}})
    add(size, {{1, 24}, {4, 1}, {8, 12}, {36, 24}});
  add({5, 9, 25}, {{1, 4}, {1, 16}, {4, 1}, {4, 4}, {4, 8}, {8, 12}, {4, 16}, {4, 20}, {36, 24}, {40, 48}});
  CHECK(cases.size() == 92);
  check_all(cases);
}

TEST_CASE("convolutions on tensor cores equal the plain loops at odd sizes") {
  // Tiles are 8 x 8 x 8 voxels, runs 64 to 256; channels in go in chunks of 8 (tf32) or 16, those out in groups of up
  // to 24 and 96.
  std::vector<ConvCase> cases;
  const auto add = [&](Size3 size, const std::vector<std::pair<int, int>>& channels) {
    for (const auto& [ci, co] : channels)
      for (const int kernel : {1, 3}) {
        const bool odd = (ci + co) / 4 % 2 != 0;
        cases.push_back({size, ci, co, kernel, !odd, odd});
      }
  };
  for (const Size3 size : {Size3{1, 1, 1}, Size3{1, 1, 9}, Size3{1, 10, 1}, Size3{9, 1, 1}}) add(size, {{4, 4}});
  add({3, 9, 10}, {{8, 12}, {20, 28}, {36, 24}, {60, 8}});
  for (const Precision p : kOnTensorCores) check_all(cases, p);
  check_all({{{3, 2, 7}, 20, 100, 1, true, true}, {{11, 13, 9}, 12, 16, 1, false, true}}, Precision::f16);
}

TEST_CASE("the layers of every growth rate on the device equal the plain loops") {
  std::vector<ConvCase> cases;
  for (const int k : {8, 12, 16, 24})
    for (const ConvCase& c : layers_of_network({5, 4, 9}, k)) cases.push_back(c);
  for (const Precision p : kAllPrecisions) check_all(cases, p);
}

TEST_CASE("5x5x5 and 9x9x9 convolutions on the device equal the plain loops at odd sizes") {
  // Tiles are 24 x 8 x 8 voxels; channels out go in groups of 4 or 8, those in by quads.
  std::vector<ConvCase> cases;
  for (const int kernel : {5, 9}) {
    for (const Size3 size : {Size3{1, 1, 1}, Size3{1, 1, 30}, Size3{1, 11, 1}, Size3{13, 1, 1}, Size3{9, 10, 25}}) {
      cases.push_back({size, 1, 8, kernel, false, true});
      cases.push_back({size, 4, 1, kernel, true, true, true});
    }
    cases.push_back({{5, 9, 11}, 1, 12, kernel, false, false});
    cases.push_back({{5, 9, 11}, 12, 1, kernel, false, false});
    cases.push_back({{3, 4, 27}, 1, 56, kernel, false, true});
    cases.push_back({{3, 4, 27}, 64, 1, kernel, true, true});
  }
  check_all(cases);
  for (const Precision p : kOnTensorCores)
    check_all({{{9, 5, 11}, 1, 8, 5, false, true}, {{9, 5, 11}, 8, 1, 9, true, true, true}}, p);
}

TEST_CASE("convolutions behind PReLU on the device equal the plain loops") {
  std::vector<ConvCase> cases;
  for (const int kernel : {1, 3})
    for (const auto& [ci, co] : {std::pair{12, 12}, {56, 12}, {12, 56}, {64, 64}, {20, 28}, {8, 1}})
      cases.push_back({{5, 9, 10}, ci, co, kernel, true, true, true});
  for (const Precision p : kAllPrecisions) check_all(cases, p);
}

TEST_CASE("PReLU and the sum behind a norm on the device equal the plain loops") {
  // 12 channels of x in front of 12 of skip and 12 of y, as many as a quad is not; y may be skip.
  const Layout layout = dense_layout({3, 9, 11});
  const int64_t voxels = layout.size.voxels();
  const Channels x = {0, 12}, skip = {12, 12}, y = {24, 12};
  const int n_channels = 40, n_patches = 2;
  std::mt19937 random(1);
  const std::vector<float> scale = normal_numbers(n_patches * x.count, random),
                           shift = normal_numbers(n_patches * x.count, random), slope = normal_numbers(x.count, random);
  const OnDevice<float> device_scale(scale), device_shift(shift), device_slope(slope);
  for (const Precision p : kAllPrecisions)
    for (const bool in_place : {false, true}) {
      INFO(cuda::to_string(p) << (in_place ? ", in place" : ""));
      const std::vector<float> before =
          from_stored(to_stored(normal_numbers(n_patches * n_channels * voxels, random), p), p);
      const auto at = [&](int patch, int c, int64_t v) { return quad_index(n_channels, voxels, patch, c, v); };
      const OnDevice<char> features(to_stored(before, p));
      const cuda::FeatureMaps maps = {features.data(), layout.size, n_patches, n_channels * voxels};
      const Channels to = in_place ? skip : y;
      const auto largest_error = [&](auto expected) {
        const std::vector<float> after = from_stored(features.back(), p);
        double worst = 0;
        for (int patch = 0; patch < n_patches; patch++)
          for (int c = 0; c < n_channels; c++)
            for (int64_t v = 0; v < voxels; v++) {
              const float got = after[at(patch, c, v)];
              const bool written = c >= to.first && c < to.first + to.count;
              const double want = written ? expected(patch, c - to.first, v) : double{before[at(patch, c, v)]};
              const double error = std::abs(got - want) / (written ? std::max(1.0, std::abs(want)) : 1e-30);
              worst = std::isnan(error) ? 1e30 : std::max(worst, error);
            }
        return worst;
      };
      const auto value = [&](Channels from, int patch, int c, int64_t v) {
        return double{before[at(patch, from.first + c, v)]};
      };
      const double unit = p == Precision::bf16 ? 0x1p-8 : p == Precision::f16 ? 0x1p-11 : 4e-7;
      REQUIRE(api().norm_add(p, maps, x, {device_scale.data(), device_shift.data(), x.count}, skip, to, nullptr) ==
              Result::ok);
      CHECK(largest_error([&](int patch, int c, int64_t v) {
              const auto i = static_cast<size_t>(patch * x.count + c);
              return value(skip, patch, c, v) + (double{scale[i]} * value(x, patch, c, v) + double{shift[i]});
            }) <= unit);
      REQUIRE(api().prelu(p, maps, x, device_slope.data(), to, nullptr) == Result::ok);
      CHECK(largest_error([&](int patch, int c, int64_t v) {
              const double t = value(x, patch, c, v);
              return t < 0 ? double{slope[c]} * t : t;
            }) <= unit);
    }
}

TEST_CASE("results on the device do not depend on the order in which blocks and threads run") {
  for (const auto& [c, precision] :
       {std::pair<ConvCase, Precision>{{{5, 9, 25}, 8, 12, 3, true, true}, Precision::fp32},
        {{{5, 9, 33}, 1, 8, 3, false, true}, Precision::fp32},
        {{{5, 9, 25}, 36, 8, 1, true, true}, Precision::fp32},
        {{{4, 9, 10}, 20, 12, 3, true, true}, Precision::f16},
        {{{4, 9, 10}, 12, 8, 3, true, true}, Precision::tf32},
        {{{5, 9, 13}, 20, 28, 1, true, true}, Precision::bf16},
        {{{5, 9, 25}, 1, 8, 5, false, true}, Precision::fp32},
        {{{5, 9, 25}, 8, 1, 9, true, true, true}, Precision::fp32}}) {
    INFO(to_string(c) << " " << cuda::to_string(precision));
    const ConvProblem p = problem(c, precision);
    check_orders([&] {
      const Outcome o = run(p, precision);
      std::vector<double> row(o.features.begin(), o.features.end());
      row.insert(row.end(), o.image.begin(), o.image.end());
      for (const ChannelSums& s : o.sums) row.push_back(s.sum), row.push_back(s.sum_of_squares);
      return row;
    });
  }
}

TEST_CASE("what the device has no kernel for is refused") {
  CHECK(api().supports({6, 4, 3, nullptr, nullptr}, Precision::fp32) != nullptr);
  CHECK(api().supports({4, 6, 3, nullptr, nullptr}, Precision::fp32) != nullptr);
  CHECK(api().supports({1, 1, 3, nullptr, nullptr}, Precision::fp32) != nullptr);
  CHECK(api().supports({4, 4, 5, nullptr, nullptr}, Precision::fp32) != nullptr);
  CHECK(api().supports({1, 1, 9, nullptr, nullptr}, Precision::fp32) != nullptr);
  CHECK(api().supports({1, 4, 7, nullptr, nullptr}, Precision::fp32) != nullptr);
  CHECK(api().supports({1, 4, 1, nullptr, nullptr}, Precision::fp32) != nullptr);
  CHECK(api().supports({6, 4, 3, nullptr, nullptr}, Precision::f16) != nullptr);
}

TEST_CASE("precisions are refused where the device has no tensor cores for them") {
  if (!device_is_emulated()) return;
  const emulation::Settings all = emulation::settings();
  const ConvWeights shape = {8, 12, 3, nullptr, nullptr};
  for (const auto& [major, minor, n_taken] : {std::tuple{6, 1, 1}, {7, 0, 1}, {7, 5, 2}, {8, 0, 4}, {12, 0, 4}}) {
    emulation::settings().major = major;
    emulation::settings().minor = minor;
    int taken = 0;
    for (const Precision p : kAllPrecisions) {
      const char* why = api().supports(shape, p);
      if (why) CHECK_THAT(std::string(why), ContainsSubstring(cuda::to_string(p)));
      taken += !why;
    }
    CHECK(taken == n_taken);
    CHECK(api().supports(shape, Precision::fp32) == nullptr);
  }
  emulation::settings() = all;

  // Turing: what is taken runs there.
  emulation::settings().major = 7;
  emulation::settings().minor = 5;
  check_all({{{2, 3, 9}, 20, 12, 3, true, true}, {{2, 3, 9}, 20, 28, 1, true, true}}, Precision::f16);
  emulation::settings() = all;
}

}  // namespace sr
