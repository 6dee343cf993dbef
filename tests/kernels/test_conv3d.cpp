#include <algorithm>
#include <cstring>

#include "kernels/conv3d.h"
#include "kernels/cpu_target.h"
#include "tests/support/conv_layouts.h"
#include "tests/support/subnormals.h"

namespace sr {
namespace {

struct Result {
  HugeBuffer buffer;
  std::vector<ChannelSums> sums;
};

Result run(const ConvProblem& p, ConvAlgorithm algorithm, ConvScratch& scratch, bool with_sums = true) {
  const PaddedRows layout(p);
  Result r = {aligned(batch_of(layout, p.x, {})), std::vector<ChannelSums>(p.bias.size())};
  conv3d_forward_cpu(layout.features(r.buffer.data(), 0), layout.x, p.prologue(), PackedConv(p.weights(), algorithm),
                     layout.y, with_sums ? r.sums.data() : nullptr, scratch);
  return r;
}

// Winograd's transforms amplify rounding errors: in F(2x2) the coefficients are at most 1, in F(4x4) inputs are
// multiplied by up to 5 * 5 and products by up to 8 * 8 before they cancel.
double tolerance(const ConvCase& c, ConvAlgorithm algorithm, double rms_of_y) {
  const bool direct = algorithm == ConvAlgorithm::direct || c.kernel != 3 || c.ci < 4 || c.co < 4;  // as packed
  return (direct ? 1 : algorithm == ConvAlgorithm::winograd2 ? 3 : 30) * rounding_of_y(c, rms_of_y);
}

Worst check(const ConvProblem& p, const ExpectedForward& e, ConvAlgorithm algorithm, ConvScratch& scratch) {
  INFO(to_string(p.c) << " " << to_string(algorithm));
  const Result r = run(p, algorithm, scratch);
  const double limit = tolerance(p.c, algorithm, rms(e.y));
  const PaddedRows layout(p);
  check_sums(p, r.sums, e, limit);
  return check_batch(layout, layout.y, batch_of(layout, p.x, {}), {r.buffer.data(), r.buffer.size()}, e.y,
                     [&](int, double) { return limit; });
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
  std::vector<ConvProblem> problems;
  std::vector<ExpectedForward> expected;
  for (const ConvCase& c : cases) {
    problems.emplace_back(c, Direction::forward, 1 + static_cast<unsigned>(problems.size()));
    expected.push_back(expected_forward(problems.back()));
  }
  const auto check_target = [&](const std::string& target) {
    for (const ConvAlgorithm algorithm : all_algorithms()) {
      Worst worst;
      ConvScratch scratch(2);  // shared by all cases: what one leaves behind must not reach the next
      for (size_t i = 0; i < problems.size(); i++)
        worst.take(check(problems[i], expected[i], algorithm, scratch), cases[i]);
      worst.print(target + " " + to_string(algorithm), cases.size());
    }
  };
  if (every_target)
    on_every_target(check_target);
  else
    check_target(cpu_target());
}

bool same_result(const Result& a, const Result& b) {
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
      const ConvProblem p(c, Direction::forward, 7);
      ConvScratch one(1);
      const Result alone = run(p, algorithm, one);
      for (const int n_threads : {2, 3, 5}) {
        ConvScratch scratch(n_threads);
        CHECK(same_result(alone, run(p, algorithm, scratch)));
        CHECK(same_result(alone, run(p, algorithm, scratch)));  // with used scratch
      }
    }
}

TEST_CASE("conv3d: subnormal numbers are zeros, and only in there") {
  if (!FlushSubnormals::kSupported) {
    WARN("skipped: this processor's control register is not known to srengine");
    return;
  }
  for (const int kernel : {1, 3, 5, 9}) {
    ConvProblem p({{12, 13, 19}, 8, 8, kernel, false, false}, Direction::forward, 5);
    for (float& v : p.x) v *= subnormal;
    const PaddedRows layout(p);
    on_every_target([&](const std::string&) {
      for (const ConvAlgorithm algorithm : all_algorithms()) {
        INFO(to_string(p.c) << " " << to_string(algorithm));
        ConvScratch scratch(2);
        const Result r = run(p, algorithm, scratch);
        CHECK(all_zero(layout.features(r.buffer.data(), 0), layout.y));
        CHECK(std::all_of(r.sums.begin(), r.sums.end(), [](const ChannelSums& s) { return s.sum == 0; }));
        CHECK(threads_keep_subnormals());
      }
    });
  }
}

TEST_CASE("conv3d: sums may be left out") {
  const ConvProblem p({{5, 6, 7}, 6, 4, 3, true, false}, Direction::forward, 3);
  ConvScratch scratch(2);
  const Result without = run(p, ConvAlgorithm::winograd4, scratch, false);
  const Result with_sums = run(p, ConvAlgorithm::winograd4, scratch);
  CHECK(std::memcmp(without.buffer.data(), with_sums.buffer.data(), without.buffer.size() * sizeof(float)) == 0);
}

TEST_CASE("cpu targets: unknown names are refused and change nothing") {
  const std::string before = cpu_target();
  CHECK_FALSE(force_cpu_target("AVX9"));
  CHECK(cpu_target() == before);
  CHECK(cpu_target() == cpu_targets().front());
}

}  // namespace sr
