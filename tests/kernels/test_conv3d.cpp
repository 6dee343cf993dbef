#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <random>

#include "kernels/conv3d.h"
#include "kernels/cpu_target.h"
#include "kernels/memory.h"
#include "tests/support/cases.h"
#include "tests/support/catch.h"
#include "tests/support/subnormals.h"

namespace sr {
namespace {

// Everything one convolution needs, with random contents. The buffer holds a channel in front of x, x, a channel
// between, y, a channel behind. Whatever is not input is NaN: a kernel that reads it shows.
class Problem {
 public:
  Problem(const ConvCase& conv_case, unsigned seed) : c(conv_case), layout(padded_layout(c.size)) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    const int taps = c.kernel * c.kernel * c.kernel;
    weight.resize(static_cast<size_t>(c.co) * c.ci * taps);
    for (float& v : weight) v = normal(random) / std::sqrt(static_cast<float>(c.ci * taps));
    bias.resize(static_cast<size_t>(c.co));
    for (float& v : bias) v = normal(random);
    for (int i = 0; i < c.ci; i++) {
      // Both signs of scale; now and then steep enough to reach the flat end of the exponential.
      scale.push_back(i % 5 == 4 ? 60.0f : normal(random));
      shift.push_back(normal(random));
      slope.push_back(normal(random));
    }
    image.assign(static_cast<size_t>(buffer_elements(layout, n_channels())), kNaN);
    Features<float> f = {image.data(), layout};
    for (int i = 0; i < c.ci; i++)
      for (int z = 0; z < c.size.d; z++)
        for (int y = 0; y < c.size.h; y++)
          for (int x = 0; x < layout.row; x++)
            f.at(x_channels().first + i, z, y)[x] = x < c.size.w ? normal(random) : 0.0f;
  }

  int n_channels() const { return c.ci + c.co + 3; }
  Channels x_channels() const { return {1, c.ci}; }
  Channels y_channels() const { return {c.ci + 2, c.co}; }
  ConvWeights weights() const { return {c.ci, c.co, c.kernel, weight.data(), c.bias ? bias.data() : nullptr}; }

  void run_ref() {
    std::vector<double> buffer(image.begin(), image.end());
    const std::vector<double> a(scale.begin(), scale.end()), b(shift.begin(), shift.end());
    const std::vector<double> s(slope.begin(), slope.end());
    Prologue<double> prologue;
    if (c.prologue) prologue = {a.data(), b.data(), c.prelu ? s.data() : nullptr};
    expected_sums.resize(static_cast<size_t>(c.co));
    conv3d_forward_ref({buffer.data(), layout}, x_channels(), prologue, weights(), y_channels(), expected_sums.data());
    expected = std::move(buffer);
  }

  struct Result {
    HugeBuffer buffer;
    std::vector<ChannelSums> sums;
  };
  Result run_cpu(ConvAlgorithm algorithm, ConvScratch& scratch) const {
    Result r = {HugeBuffer(image.size()), std::vector<ChannelSums>(static_cast<size_t>(c.co))};
    std::memcpy(r.buffer.data(), image.data(), image.size() * sizeof(float));
    Prologue<float> prologue;
    if (c.prologue) prologue = {scale.data(), shift.data(), c.prelu ? slope.data() : nullptr};
    const PackedConv packed(weights(), algorithm);
    conv3d_forward_cpu({r.buffer.data(), layout}, x_channels(), prologue, packed, y_channels(), r.sums.data(), scratch);
    return r;
  }

  static constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
  ConvCase c;
  Layout layout;
  std::vector<float> weight, bias, scale, shift, slope, image;
  std::vector<double> expected;
  std::vector<ChannelSums> expected_sums;
};

// Rounding errors add up like a random walk over the n products of an output: eps * sqrt(n) of the output's rms, with a
// factor of 4 for the largest of many outputs. Winograd's transforms amplify them: in F(2x2) the coefficients are at
// most 1, in F(4x4) inputs are multiplied by up to 5 * 5 and products by up to 8 * 8 before they cancel.
// A prologue adds what the activations are off: 4e-7 (the exponential's polynomial 2e-7, the affine's rounding),
// carried through weights of norm 1 and again four times that for the largest.
double tolerance(const ConvCase& c, ConvAlgorithm algorithm, double rms) {
  const bool direct = algorithm == ConvAlgorithm::direct || c.kernel != 3 || c.ci < 4 || c.co < 4;  // as packed
  const double amplification = direct ? 1 : algorithm == ConvAlgorithm::winograd2 ? 3 : 30;
  const double n = c.ci * c.kernel * c.kernel * c.kernel;
  const double products = std::numeric_limits<float>::epsilon() * std::sqrt(n + 1) * rms;
  const double activations = c.prologue ? 4e-7 : 0;
  return 4 * amplification * (products + activations);
}

struct Worst {
  double share = 0;  // of the tolerance
  std::string where;
};

// Compares y with the reference and everything else with what was there before.
Worst compare(const Problem& p, const Problem::Result& r, ConvAlgorithm algorithm) {
  const Layout& layout = p.layout;
  const ConvCase& c = p.c;
  const Features<const float> got = {r.buffer.data(), layout};
  const Features<const double> want = {p.expected.data(), layout};
  const int first = p.y_channels().first;

  double square = 0;
  for (const ChannelSums& s : p.expected_sums) square += s.sum_of_squares;
  const double rms = std::sqrt(square / static_cast<double>(c.size.voxels() * c.co));
  const double limit = tolerance(c, algorithm, rms);

  Worst worst;
  bool padding_is_zero = true;
  for (int co = 0; co < c.co; co++)
    for (int z = 0; z < c.size.d; z++)
      for (int y = 0; y < c.size.h; y++) {
        const float* row = got.at(first + co, z, y);
        for (int x = 0; x < c.size.w; x++) {
          const double share = std::abs(double{row[x]} - want.at(first + co, z, y)[x]) / limit;
          if (!(share <= worst.share))  // NaN counts as worst
            worst = {std::isnan(share) ? 1e30 : share, "channel " + std::to_string(co) + " z " + std::to_string(z) +
                                                           " y " + std::to_string(y) + " x " + std::to_string(x)};
        }
        for (ptrdiff_t x = c.size.w; x < layout.row; x++) padding_is_zero = padding_is_zero && row[x] == 0.0f;
      }
  CHECK(padding_is_zero);

  const auto same = [&](ptrdiff_t begin, ptrdiff_t end) {
    return std::memcmp(r.buffer.data() + begin, p.image.data() + begin, (end - begin) * sizeof(float)) == 0;
  };
  const ptrdiff_t volume = layout.plane * c.size.d;
  CHECK(same(0, layout.channel * first));
  for (int co = 0; co < c.co; co++)
    CHECK(same(layout.channel * (first + co) + volume, layout.channel * (first + co + 1)));
  CHECK(same(layout.channel * (first + c.co), static_cast<ptrdiff_t>(p.image.size())));

  // A sum of N values of size rms, whose errors are independent, plus what the voxels themselves are off.
  const double n = static_cast<double>(c.size.voxels());
  for (int co = 0; co < c.co; co++) {
    const size_t i = static_cast<size_t>(co);
    CHECK(std::abs(r.sums[i].sum - p.expected_sums[i].sum) <= limit * n);
    CHECK(std::abs(r.sums[i].sum_of_squares - p.expected_sums[i].sum_of_squares) <= 4 * limit * n * rms);
  }
  return worst;
}

// Runs `body` on every target this processor has, then goes back to the best.
template <class Body>
void on_every_target(Body body) {
  for (const std::string& target : cpu_targets()) {
    REQUIRE(force_cpu_target(target));
    REQUIRE(cpu_target() == target);
    INFO("target " << target);
    body(target);
  }
  force_cpu_target("");
}

void check_cases(const std::vector<ConvCase>& cases, bool every_target) {
  std::vector<Problem> problems;
  for (const ConvCase& c : cases) {
    problems.emplace_back(c, 1 + static_cast<unsigned>(problems.size()));
    problems.back().run_ref();
  }
  const auto check = [&](const std::string& target) {
    for (const ConvAlgorithm algorithm : all_algorithms()) {
      Worst worst;
      std::string worst_case;
      ConvScratch scratch(2);  // shared by all cases: what one leaves behind must not reach the next
      for (const Problem& p : problems) {
        INFO(to_string(p.c) << " " << to_string(algorithm));
        const Worst w = compare(p, p.run_cpu(algorithm, scratch), algorithm);
        CHECK(w.share <= 1);
        if (w.share >= worst.share) worst = w, worst_case = to_string(p.c);
      }
      std::printf("%-6s %-9s %4zu cases, at most %4.0f %% of the tolerance: %s, %s\n", target.c_str(),
                  to_string(algorithm).c_str(), problems.size(), 100 * worst.share, worst_case.c_str(),
                  worst.where.c_str());
    }
  };
  if (every_target)
    on_every_target(check);
  else
    check(cpu_target());
}

bool same_result(const Problem::Result& a, const Problem::Result& b) {
  return std::memcmp(a.buffer.data(), b.buffer.data(), a.buffer.size() * sizeof(float)) == 0 &&
         std::memcmp(a.sums.data(), b.sums.data(), a.sums.size() * sizeof(ChannelSums)) == 0;
}

}  // namespace

TEST_CASE("conv3d: odd sizes and channel counts against the plain loops") {
  check_cases(odd_cases(), true);
}

TEST_CASE("conv3d: layers of networks against the plain loops") {
  std::vector<ConvCase> cases;
  for (const int k : {8, 12, 16, 24})
    for (const ConvCase& c : layers_of_network({9, 10, 22}, k)) cases.push_back(c);
  check_cases(cases, true);
}

TEST_CASE("conv3d: large kernels and PReLU against the plain loops") {
  check_cases(baseline_cases(), true);
}

TEST_CASE("conv3d: rows and planes of a whole patch against the plain loops") {
  check_cases({{{21, 70, 70}, 24, 12, 3, true, false}, {{9, 70, 70}, 60, 48, 1, true, false}}, false);
}

TEST_CASE("conv3d: bit for bit the same on any number of threads") {
  for (const ConvCase& c :
       {ConvCase{{45, 37, 29}, 24, 12, 3, true, false}, ConvCase{{45, 37, 29}, 60, 12, 1, true, true},
        ConvCase{{35, 50, 9}, 2, 1, 9, true, true, true}, ConvCase{{9, 37, 29}, 1, 20, 5, false, true}})
    for (const ConvAlgorithm algorithm : all_algorithms()) {
      INFO(to_string(c) << " " << to_string(algorithm));
      const Problem p(c, 7);
      ConvScratch one(1);
      const Problem::Result alone = p.run_cpu(algorithm, one);
      for (const int n_threads : {2, 3, 5}) {
        ConvScratch scratch(n_threads);
        CHECK(same_result(alone, p.run_cpu(algorithm, scratch)));
        CHECK(same_result(alone, p.run_cpu(algorithm, scratch)));  // with used scratch
      }
    }
}

TEST_CASE("conv3d: subnormal numbers are zeros, and only in there") {
  if (!FlushSubnormals::kSupported) {
    WARN("skipped: this processor's control register is not known to srengine");
    return;
  }
  for (const int kernel : {1, 3, 5, 9}) {
    Problem p({{12, 13, 19}, 8, 8, kernel, false, false}, 5);
    for (float& v : p.image) v *= subnormal;  // NaN stays
    on_every_target([&](const std::string&) {
      for (const ConvAlgorithm algorithm : all_algorithms()) {
        INFO(to_string(p.c) << " " << to_string(algorithm));
        ConvScratch scratch(2);
        const Problem::Result r = p.run_cpu(algorithm, scratch);
        CHECK(all_zero({r.buffer.data(), p.layout}, p.y_channels()));
        CHECK(std::all_of(r.sums.begin(), r.sums.end(), [](const ChannelSums& s) { return s.sum == 0; }));
        CHECK(threads_keep_subnormals());
      }
    });
  }
}

TEST_CASE("conv3d: sums may be left out") {
  const Problem p({{5, 6, 7}, 6, 4, 3, true, false}, 3);
  ConvScratch scratch(2);
  const PackedConv packed(p.weights(), ConvAlgorithm::winograd4);
  HugeBuffer copy(p.image.size());
  std::memcpy(copy.data(), p.image.data(), p.image.size() * sizeof(float));
  conv3d_forward_cpu({copy.data(), p.layout}, p.x_channels(), {p.scale.data(), p.shift.data()}, packed, p.y_channels(),
                     nullptr, scratch);
  const Problem::Result with_sums = p.run_cpu(ConvAlgorithm::winograd4, scratch);
  CHECK(std::memcmp(copy.data(), with_sums.buffer.data(), p.image.size() * sizeof(float)) == 0);
}

TEST_CASE("cpu targets: unknown names are refused and change nothing") {
  const std::string before = cpu_target();
  CHECK_FALSE(force_cpu_target("AVX9"));
  CHECK(cpu_target() == before);
  CHECK(cpu_target() == cpu_targets().front());
}

}  // namespace sr
