// The critic: its operations against plain loops and finite differences, the whole of it against PyTorch's double
// backward.
#include <algorithm>
#include <cmath>

#include "engine/base/status.h"
#include "engine/training/host_critic.h"
#include "engine/training/host_critic_ops.h"
#include "engine/training/net_critic.h"
#include "tests/engine/training/critic_cases.h"
#include "tests/engine/training/golden_critic.h"

namespace sr::train {
namespace {

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); i++) sum += a[i] * b[i];
  return sum;
}

// <dy, conv(x)> is linear in x and in the weights: both ways back are its derivatives.
TEST_CASE("the plain loops of strided convolutions are each other's transposes") {
  for (const StridedConv& conv : kConvs) {
    INFO(named(conv));
    const int n = 2;
    const auto x = random_numbers<double>(n * conv.ci * conv.in.voxels(), 1);
    const auto dy = random_numbers<double>(n * conv.co * conv.out().voxels(), 2);
    const auto w = random_numbers<double>(conv.weights(), 3);
    std::vector<double> y(dy.size()), dx(x.size()), dw(w.size());
    strided_conv3d_forward_ref(conv, n, w.data(), x.data(), y.data());
    strided_conv3d_backward_data_ref(conv, n, w.data(), dy.data(), dx.data());
    strided_conv3d_backward_weights_ref(conv, n, x.data(), dy.data(), dw.data());
    const double product = dot(dy, y);
    CHECK(std::abs(dot(dx, x) - product) < 1e-11 * (1 + std::abs(product)));
    CHECK(std::abs(dot(dw, w) - product) < 1e-11 * (1 + std::abs(product)));
  }
}

TEST_CASE("strided convolutions in float32 are the plain loops to rounding, whatever the threads") {
  for (const StridedConv& conv : kConvs) {
    INFO(named(conv));
    const int n = 3;
    const auto x = random_numbers<float>(n * conv.ci * conv.in.voxels(), 1);
    const auto dy = random_numbers<float>(n * conv.co * conv.out().voxels(), 2);
    const auto w = random_numbers<float>(conv.weights(), 3);
    const std::vector<double> xd(x.begin(), x.end()), dyd(dy.begin(), dy.end()), wd(w.begin(), w.end());
    std::vector<double> yd(dy.size()), dxd(x.size()), dwd(w.size(), 1.0);
    strided_conv3d_forward_ref(conv, n, wd.data(), xd.data(), yd.data());
    strided_conv3d_backward_data_ref(conv, n, wd.data(), dyd.data(), dxd.data());
    strided_conv3d_backward_weights_ref(conv, n, xd.data(), dyd.data(), dwd.data());
    std::vector<float> first;
    for (const int threads : {1, 3}) {
      GatherScratch scratch(threads);
      std::vector<float> y(dy.size(), 7.0f), dx(x.size(), 7.0f), dw(w.size(), 1.0f);
      strided_conv3d_forward_cpu(conv, n, w.data(), x.data(), y.data(), scratch);
      strided_conv3d_backward_data_cpu(conv, n, w.data(), dy.data(), dx.data(), scratch);
      strided_conv3d_backward_weights_cpu(conv, n, x.data(), dy.data(), dw.data(), scratch);
      // Sums of up to 350 products in float32, whose rounding grows as the square root of their number.
      CHECK(relative_error(y, yd) < 1e-6);
      CHECK(relative_error(dx, dxd) < 1e-6);
      CHECK(relative_error(dw, dwd) < 1e-6);
      std::vector<float> all = y;
      all.insert(all.end(), dx.begin(), dx.end());
      all.insert(all.end(), dw.begin(), dw.end());
      if (first.empty()) first = all;
      CHECK(all == first);
    }
  }
}

struct NormCase {
  NormLrelu layer{3, 10, true, 1e-5, 0.2};
  int n = 2;
  std::vector<double> gamma, beta, x, xt, da, dat;
  explicit NormCase(bool normalised) {
    layer.normalised = normalised;
    const int64_t count = n * layer.elements();
    gamma = random_numbers<double>(layer.channels, 1);
    beta = random_numbers<double>(layer.channels, 2);
    x = random_numbers<double>(count, 3);
    for (double& v : x) v = 0.7 + 2 * v;
    xt = random_numbers<double>(count, 4);
    da = random_numbers<double>(count, 5);
    dat = random_numbers<double>(count, 6);
  }
  NormParameters<double> parameters() const { return {layer.normalised ? gamma.data() : nullptr, beta.data()}; }
  // <da, a> + <dat, at> at a point.
  double loss() const {
    std::vector<NormMoments> m(2);
    std::vector<TangentMoments> tm(2);
    std::vector<double> a(x.size()), at(x.size());
    norm_lrelu_forward(layer, n, parameters(), x.data(), m.data(), a.data(), 1);
    norm_lrelu_tangent(layer, n, parameters(), x.data(), m.data(), xt.data(), tm.data(), at.data(), 1);
    return dot(da, a) + dot(dat, at);
  }
  double slope_at(double& number) {
    const double keep = number, step = 1e-6;
    number = keep + step;
    const double above = loss();
    number = keep - step;
    const double below = loss();
    number = keep;
    return (above - below) / (2 * step);
  }
};

TEST_CASE("layer norm's derivative and the gradient of that derivative agree with finite differences") {
  for (const bool normalised : {true, false}) {
    INFO("normalised " << normalised);
    NormCase c(normalised);
    std::vector<NormMoments> m(2);
    std::vector<TangentMoments> tm(2);
    std::vector<double> a(c.x.size()), at(c.x.size()), dx(c.x.size()), dxt(c.x.size()), dgamma(3), dbeta(3);
    norm_lrelu_forward(c.layer, c.n, c.parameters(), c.x.data(), m.data(), a.data(), 1);
    norm_lrelu_tangent(c.layer, c.n, c.parameters(), c.x.data(), m.data(), c.xt.data(), tm.data(), at.data(), 1);

    // The derivative itself.
    NormCase above(normalised), below(normalised);
    const double step = 1e-6;
    for (size_t i = 0; i < c.x.size(); i++) above.x[i] += step * c.xt[i], below.x[i] -= step * c.xt[i];
    std::vector<double> a1(a.size()), a0(a.size());
    std::vector<NormMoments> unused(2);
    norm_lrelu_forward(c.layer, c.n, c.parameters(), above.x.data(), unused.data(), a1.data(), 1);
    norm_lrelu_forward(c.layer, c.n, c.parameters(), below.x.data(), unused.data(), a0.data(), 1);
    for (size_t i = 0; i < a.size(); i++) CHECK(std::abs((a1[i] - a0[i]) / (2 * step) - at[i]) < 1e-7);

    norm_lrelu_backward_tangent(c.layer, c.n, c.parameters(), c.x.data(), c.xt.data(), m.data(), tm.data(), c.da.data(),
                                c.dat.data(), dx.data(), dxt.data(),
                                NormGradients<double>{normalised ? dgamma.data() : nullptr, dbeta.data()}, 1);
    for (size_t i = 0; i < c.x.size(); i++) {
      CHECK(std::abs(c.slope_at(c.x[i]) - dx[i]) < 1e-6);
      CHECK(std::abs(c.slope_at(c.xt[i]) - dxt[i]) < 1e-6);
    }
    for (size_t i = 0; i < 3; i++) {
      if (normalised) CHECK(std::abs(c.slope_at(c.gamma[i]) - dgamma[i]) < 1e-6);
      CHECK(std::abs(c.slope_at(c.beta[i]) - dbeta[i]) < 1e-6);
    }

    // The first-order way back is the second-order one without a tangent.
    std::vector<double> dx1(c.x.size()), dgamma1(3), dbeta1(3);
    norm_lrelu_backward(c.layer, c.n, c.parameters(), c.x.data(), m.data(), c.da.data(), dx1.data(),
                        NormGradients<double>{normalised ? dgamma1.data() : nullptr, dbeta1.data()}, 1);
    std::fill(c.dat.begin(), c.dat.end(), 0.0);
    for (size_t i = 0; i < c.x.size(); i++) CHECK(std::abs(c.slope_at(c.x[i]) - dx1[i]) < 1e-6);
    for (size_t i = 0; i < 3; i++) {
      if (normalised) CHECK(std::abs(c.slope_at(c.gamma[i]) - dgamma1[i]) < 1e-6);
      CHECK(std::abs(c.slope_at(c.beta[i]) - dbeta1[i]) < 1e-6);
    }
  }
}

// What the generator is told, and three steps of Adam: how far from where PyTorch's go, relative to the way.
void check_training(BackendKind kind, double tolerance) {
  const GoldenCritic golden;
  const auto engine = make_host_critic(golden.state, {}, kind, 2);
  std::vector<float> of_fake(golden.fake.size(), 1.0f);
  engine->add_gradient(2, golden.fake.data(), of_fake.data());
  for (float& g : of_fake) g -= 1.0f;
  // What float32 keeps of a small number beside the 1 that was there.
  double norm = 0;
  for (const double g : golden.of_fake) norm += g * g;
  const double rounding = 6e-8 * std::sqrt(static_cast<double>(of_fake.size()) / norm);
  CHECK(relative_error(of_fake, golden.of_fake) < tolerance + rounding);
  CHECK(std::abs(engine->score() - (golden.fake_scores[0] + golden.fake_scores[1]) / 2) < tolerance);

  for (int i = 0; i < 3; i++) engine->step(golden.fake.data(), golden.batch, golden.epsilon, 1e-3);
  CriticState state;
  engine->save(state);
  CHECK(state.optimiser.step == 3);
  std::vector<double> moved(golden.after_3.size()), should(moved.size());
  for (size_t i = 0; i < moved.size(); i++) {
    moved[i] = double{state.parameters[i]} - double{golden.state.parameters[i]};
    should[i] = golden.after_3[i] - double{golden.state.parameters[i]};
  }
  // Adam without momentum moves by the sign of a gradient, however small: rounding turns a few of them.
  CHECK(relative_error(moved, should) < 2 * std::sqrt(tolerance));
}

TEST_CASE("the critic in double is PyTorch's double backward") {
  const GoldenCritic golden;
  const auto engine = make_host_critic(golden.state, {}, BackendKind::ref, 1);
  check_against_golden(*engine, golden, 1e-6);
  check_training(BackendKind::ref, 1e-6);
}

TEST_CASE("the critic in float32 is PyTorch's double backward to rounding") {
  const GoldenCritic golden;
  const auto engine = make_host_critic(golden.state, {}, BackendKind::cpu, 2);
  check_against_golden(*engine, golden, 1e-4);
  check_training(BackendKind::cpu, 1e-4);
}

// The penalty jumps where a leaky ReLU's argument changes its sign, for the gradient of D does: steps are so small that
// none does.
TEST_CASE("the gradient of the whole loss agrees with finite differences") {
  const GoldenCritic golden;
  const Critic critic(golden.state.model);
  const CriticPlan plan(critic, 2);
  std::vector<double> numbers(static_cast<size_t>(plan.n_numbers)), norms(2), scores(4);
  std::vector<NormMoments> moments(static_cast<size_t>(plan.n_moments));
  std::vector<TangentMoments> tangent_moments(moments.size());
  HostCriticOps<double> op(1);
  CriticPasses<double> passes(critic, plan, {numbers.data(), moments.data(), tangent_moments.data(), norms.data()}, op);
  const std::vector<double> epsilon(golden.epsilon.begin(), golden.epsilon.end());
  const auto loss_at = [&](const std::vector<double>& parameters) {
    op.parameters = parameters;
    op.gradient.assign(parameters.size(), 0.0);
    std::ranges::copy(golden.fake, passes.images());
    std::ranges::copy(golden.batch.target, passes.images() + golden.fake.size());
    passes.loss_gradient(epsilon.data(), 10, scores.data());
    const auto penalty = [](double norm) { return 10 * (norm - 1) * (norm - 1); };
    return (scores[0] + scores[1] - scores[2] - scores[3] + penalty(norms[0]) + penalty(norms[1])) / 2;
  };
  const std::vector<double> start(golden.state.parameters.begin(), golden.state.parameters.end());
  loss_at(start);
  const std::vector<double> gradient = op.gradient;
  for (unsigned seed = 1; seed <= 5; seed++) {
    const std::vector<double> direction = random_numbers<double>(critic.n_parameters, seed);
    std::vector<double> above = start, below = start;
    const double step = 1e-8;
    for (size_t i = 0; i < start.size(); i++) above[i] += step * direction[i], below[i] -= step * direction[i];
    const double slope = (loss_at(above) - loss_at(below)) / (2 * step), expected = dot(gradient, direction);
    INFO("along a direction: " << slope << ", by the gradient " << expected);
    CHECK(std::abs(slope - expected) < 1e-5 * std::sqrt(dot(gradient, gradient)));
  }
}

TEST_CASE("a critic's step that is not finite changes nothing") {
  const GoldenCritic golden;
  const auto engine = make_host_critic(golden.state, {}, BackendKind::cpu, 1);
  Batch batch = golden.batch;
  batch.target[100] = std::nanf("");
  CHECK(!engine->step(golden.fake.data(), batch, golden.epsilon, 1e-3).finite);
  CriticState state;
  engine->save(state);
  CHECK(state.parameters == golden.state.parameters);
  CHECK(state.optimiser.step == 0);
}

TEST_CASE("critics that cannot be are refused, and random ones are what He's rule says") {
  CHECK_THROWS_AS(Critic({64, 1024, {15, 40, 40}}), Error);
  CHECK_THROWS_AS(Critic({0, 1024, {16, 16, 16}}), Error);
  CHECK_THROWS_AS(Critic({4096, 1024, {200, 200, 200}}), Error);
  const Critic critic({8, 32, {16, 17, 18}});
  const std::vector<float> row = random_critic(critic, 5);
  CHECK(row == random_critic(critic, 5));
  CHECK(row != random_critic(critic, 6));
  const CriticLayer& layer = critic.layers[7];
  double squares = 0;
  for (int64_t i = 0; i < layer.conv.weights(); i++) squares += std::pow(double{row[layer.weight + i]}, 2);
  CHECK(squares / static_cast<double>(layer.conv.weights()) * (64 * 27) * 1.04 / 2 == Approx(1.0).margin(0.02));
  CHECK(critic.layers.back().beta + 1 == critic.n_parameters);
}

}  // namespace
}  // namespace sr::train
