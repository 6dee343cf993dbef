// The critic's operations on the device, under emulation or on a GPU, against the plain loops and the double host
// version: values, and that nothing else is touched.
#include <cstdio>
#include <cstring>
#include <limits>

#include "kernels/emulation/settings.h"
#include "tests/engine/training/critic_cases.h"
#include "tests/support/cuda_test_api.h"
#include "tests/support/on_device.h"

namespace sr {
namespace {

using cuda::Result;

constexpr size_t kMargin = 64;  // numbers on both sides of what is written

// Device memory between margins that must stay as they are.
template <class T>
class Guarded {
 public:
  explicit Guarded(const std::vector<T>& host) : n_(host.size()), memory_(with_margins(host)) {}
  Guarded(int64_t n, T value) : Guarded(std::vector<T>(static_cast<size_t>(n), value)) {}
  T* data() const { return memory_.data() + kMargin; }
  std::vector<T> back() const {
    const std::vector<T> all = memory_.back();
    const auto untouched = [&](size_t first) {
      for (size_t i = first; i < first + kMargin; i++)
        if (all[i] != guard(i)) return false;
      return true;
    };
    CHECK(untouched(0));
    CHECK(untouched(kMargin + n_));
    return {all.begin() + kMargin, all.end() - kMargin};
  }

 private:
  static T guard(size_t i) { return static_cast<T>(1000 + i); }
  static std::vector<T> with_margins(const std::vector<T>& host) {
    std::vector<T> all;
    for (size_t i = 0; i < kMargin; i++) all.push_back(guard(i));
    all.insert(all.end(), host.begin(), host.end());
    for (size_t i = 0; i < kMargin; i++) all.push_back(guard(kMargin + host.size() + i));
    return all;
  }
  size_t n_;
  OnDevice<T> memory_;
};

const cuda::CriticApi& ops() {
  return api().critic;
}

std::vector<double> in_double(const std::vector<float>& v) {
  return {v.begin(), v.end()};
}

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

// ---- convolutions ----

struct ConvNumbers {
  ConvNumbers(const StridedConv& conv, int samples)
      : n(samples),
        x(random_numbers<float>(n * conv.ci * conv.in.voxels(), 1)),
        dy(random_numbers<float>(n * conv.co * conv.out().voxels(), 2)),
        w(random_numbers<float>(conv.weights(), 3)) {}
  int n;
  std::vector<float> x, dy, w;
};
struct ConvOutcome {
  std::vector<float> y, dx, dw;
};

// What is written is NaN before, but for the weights' gradient, which is added to.
ConvOutcome run(const StridedConv& conv, const ConvNumbers& c) {
  const OnDevice<float> x(c.x), dy(c.dy), w(c.w);
  const Guarded<float> y(static_cast<int64_t>(c.dy.size()), kNaN), dx(static_cast<int64_t>(c.x.size()), kNaN),
      dw(conv.weights(), 1.0f), partial(ops().strided_conv3d_partial(conv, c.n), kNaN);
  REQUIRE(ops().strided_conv3d_forward(conv, c.n, w.data(), x.data(), y.data(), nullptr) == Result::ok);
  REQUIRE(ops().strided_conv3d_backward_data(conv, c.n, w.data(), dy.data(), dx.data(), nullptr) == Result::ok);
  REQUIRE(ops().strided_conv3d_backward_weights(conv, c.n, x.data(), dy.data(), partial.data(), dw.data(), nullptr) ==
          Result::ok);
  partial.back();
  return {y.back(), dx.back(), dw.back()};
}

TEST_CASE("the critic's convolutions on the device are the plain loops to rounding") {
  std::vector<StridedConv> convs(std::begin(kConvs), std::end(kConvs));
  // Large tiles: forward and of the weights' gradient, and on the way back.
  convs.push_back({5, 66, 3, 1, {11, 17, 19}});
  convs.push_back({66, 1, 3, 1, {11, 17, 19}});
  double worst = 0;
  for (const StridedConv& conv : convs) {
    INFO(named(conv));
    const ConvNumbers c(conv, conv.ci * conv.co > 60 ? 2 : 3);
    const std::vector<double> x = in_double(c.x), dy = in_double(c.dy), w = in_double(c.w);
    std::vector<double> y(dy.size()), dx(x.size()), dw(w.size(), 1.0);
    strided_conv3d_forward_ref(conv, c.n, w.data(), x.data(), y.data());
    strided_conv3d_backward_data_ref(conv, c.n, w.data(), dy.data(), dx.data());
    strided_conv3d_backward_weights_ref(conv, c.n, x.data(), dy.data(), dw.data());
    const ConvOutcome got = run(conv, c);
    // Sums of up to 1,800 products in float32, whose rounding grows as the square root of their number.
    for (const double error : {relative_error(got.y, y), relative_error(got.dx, dx), relative_error(got.dw, dw)}) {
      CHECK(error < 1e-6);
      worst = std::max(worst, error);
    }
  }
  std::printf("%s: %zu convolutions of the critic, largest error %.1e\n", api().description(), convs.size(), worst);
}

TEST_CASE("the critic's convolutions on the device do not depend on the order in which blocks and threads run") {
  if (!device_is_emulated()) return;
  for (const StridedConv& conv :
       {StridedConv{3, 5, 3, 2, {5, 4, 7}}, StridedConv{300, 40, 1, 1, {1, 1, 1}}, StridedConv{3, 2, 1, 2, {5, 3, 4}},
        StridedConv{1, 9, 3, 1, {12, 16, 33}}, StridedConv{9, 1, 3, 1, {12, 16, 33}}}) {
    INFO(named(conv));
    const ConvNumbers c(conv, 2);
    check_orders([&] {
      const ConvOutcome got = run(conv, c);
      std::vector<float> all = got.y;
      all.insert(all.end(), got.dx.begin(), got.dx.end());
      all.insert(all.end(), got.dw.begin(), got.dw.end());
      return all;
    });
  }
}

// ---- layer norm and leaky ReLU ----

struct NormNumbers {
  NormNumbers(const NormLrelu& norm, int samples, double mean) : layer(norm), n(samples) {
    const int64_t count = n * layer.elements();
    gamma = random_numbers<float>(layer.channels, 1);
    beta = random_numbers<float>(layer.channels, 2);
    x = random_numbers<float>(count, 3);
    for (float& v : x) v = static_cast<float>(mean) + 2 * v;
    xt = random_numbers<float>(count, 4);
    da = random_numbers<float>(count, 5);
    dat = random_numbers<float>(count, 6);
  }
  NormLrelu layer;
  int n;
  std::vector<float> gamma, beta, x, xt, da, dat;
};

// Of forward, tangent, backward and backward_tangent.
template <class T>
struct NormOutcome {
  std::vector<NormMoments> moments;
  std::vector<TangentMoments> tangent_moments;
  std::vector<T> a, at, dx1, dgamma1, dbeta1, dx, dxt, dgamma, dbeta;
};

NormOutcome<double> in_double(const NormNumbers& c) {
  const std::vector<double> gamma = in_double(c.gamma), beta = in_double(c.beta), x = in_double(c.x),
                            xt = in_double(c.xt), da = in_double(c.da), dat = in_double(c.dat);
  const auto samples = static_cast<size_t>(c.n), channels = gamma.size();
  NormOutcome<double> o;
  o.moments.resize(samples);
  o.tangent_moments.resize(samples);
  for (std::vector<double>* map : {&o.a, &o.at, &o.dx1, &o.dx, &o.dxt}) map->resize(x.size());
  for (std::vector<double>* row : {&o.dgamma1, &o.dbeta1, &o.dgamma, &o.dbeta}) row->assign(channels, 1.0);
  const bool normalised = c.layer.normalised;
  const NormParameters<double> p = {normalised ? gamma.data() : nullptr, beta.data()};
  norm_lrelu_forward(c.layer, c.n, p, x.data(), o.moments.data(), o.a.data(), 1);
  norm_lrelu_tangent(c.layer, c.n, p, x.data(), o.moments.data(), xt.data(), o.tangent_moments.data(), o.at.data(), 1);
  norm_lrelu_backward(c.layer, c.n, p, x.data(), o.moments.data(), da.data(), o.dx1.data(),
                      NormGradients<double>{normalised ? o.dgamma1.data() : nullptr, o.dbeta1.data()}, 1);
  norm_lrelu_backward_tangent(c.layer, c.n, p, x.data(), xt.data(), o.moments.data(), o.tangent_moments.data(),
                              da.data(), dat.data(), o.dx.data(), o.dxt.data(),
                              NormGradients<double>{normalised ? o.dgamma.data() : nullptr, o.dbeta.data()}, 1);
  return o;
}

NormOutcome<float> on_device(const NormNumbers& c, bool in_place) {
  const OnDevice<float> gamma(c.gamma), beta(c.beta), x(c.x), xt(c.xt);
  const Guarded<float> da(c.da), dat(c.dat), da1(c.da);
  const auto count = static_cast<int64_t>(c.x.size());
  const OnDevice<NormMoments> moments(std::vector<NormMoments>(static_cast<size_t>(c.n), {kNaN, kNaN}));
  const OnDevice<TangentMoments> tangent_moments(std::vector<TangentMoments>(static_cast<size_t>(c.n), {kNaN, kNaN}));
  const Guarded<double> partial(ops().norm_lrelu_partial(c.layer, c.n), kNaN);
  const Guarded<float> a(count, kNaN), at(count, kNaN), dx1(count, kNaN), dx(count, kNaN), dxt(count, kNaN);
  const int channels = c.layer.channels;
  const Guarded<float> dgamma1(channels, 1), dbeta1(channels, 1), dgamma(channels, 1), dbeta(channels, 1);
  const bool normalised = c.layer.normalised;
  const NormParameters<float> p = {normalised ? gamma.data() : nullptr, beta.data()};
  const auto& to_dx1 = in_place ? da1 : dx1;
  const auto& to_dx = in_place ? da : dx;
  const auto& to_dxt = in_place ? dat : dxt;
  REQUIRE(ops().norm_lrelu_forward(c.layer, c.n, p, x.data(), moments.data(), partial.data(), a.data(), nullptr) ==
          Result::ok);
  REQUIRE(ops().norm_lrelu_tangent(c.layer, c.n, p, x.data(), moments.data(), xt.data(), tangent_moments.data(),
                                   partial.data(), at.data(), nullptr) == Result::ok);
  // Nobody asks for the parameters' gradients first, which must not change anything else.
  for (const bool asked : {false, true}) {
    if (in_place) REQUIRE(ops().copy(count, da.data(), da1.data(), nullptr) == Result::ok);
    const NormGradients<float> gradients = {asked && normalised ? dgamma1.data() : nullptr,
                                            asked ? dbeta1.data() : nullptr};
    REQUIRE(ops().norm_lrelu_backward(c.layer, c.n, p, x.data(), moments.data(), da1.data(), partial.data(),
                                      to_dx1.data(), gradients, nullptr) == Result::ok);
  }
  REQUIRE(ops().norm_lrelu_backward_tangent(
              c.layer, c.n, p, x.data(), xt.data(), moments.data(), tangent_moments.data(), da.data(), dat.data(),
              partial.data(), to_dx.data(), to_dxt.data(),
              NormGradients<float>{normalised ? dgamma.data() : nullptr, dbeta.data()}, nullptr) == Result::ok);
  partial.back();
  return {moments.back(), tangent_moments.back(), a.back(),      at.back(),     to_dx1.back(), dgamma1.back(),
          dbeta1.back(),  to_dx.back(),           to_dxt.back(), dgamma.back(), dbeta.back()};
}

TEST_CASE("the critic's layer norm on the device is the double one to rounding, in place as well") {
  double worst = 0;
  for (const bool normalised : {true, false})
    for (const auto& [channels, voxels] :
         {std::pair<int, int64_t>{3, 10}, {1, 9}, {9, 1}, {5, 1500}, {300, 7}, {7, 1024}, {4, 2049}})
      for (const double slope : {0.2, 1.0}) {
        INFO(channels << " channels of " << voxels << " voxels, normalised " << normalised << ", slope " << slope);
        const NormNumbers c({channels, voxels, normalised, 1e-5, slope}, voxels > 2000 ? 1 : 3, 0.7);
        const NormOutcome<double> want = in_double(c);
        const NormOutcome<float> got = on_device(c, false);
        for (size_t s = 0; s < want.moments.size(); s++) {
          CHECK(std::abs(got.moments[s].mean - want.moments[s].mean) < 1e-12);
          CHECK(std::abs(got.moments[s].scale - want.moments[s].scale) < 1e-12 * want.moments[s].scale);
          // h is float32 here.
          CHECK(std::abs(got.tangent_moments[s].mean - want.tangent_moments[s].mean) < 1e-12);
          CHECK(std::abs(got.tangent_moments[s].along - want.tangent_moments[s].along) < 1e-6);
        }
        for (const double error :
             {relative_error(got.a, want.a), relative_error(got.at, want.at), relative_error(got.dx1, want.dx1),
              relative_error(got.dgamma1, want.dgamma1), relative_error(got.dbeta1, want.dbeta1),
              relative_error(got.dx, want.dx), relative_error(got.dxt, want.dxt),
              relative_error(got.dgamma, want.dgamma), relative_error(got.dbeta, want.dbeta)}) {
          CHECK(error < 1e-6);
          worst = std::max(worst, error);
        }
        const NormOutcome<float> in_place = on_device(c, true);
        CHECK(in_place.dx1 == got.dx1);
        CHECK(in_place.dx == got.dx);
        CHECK(in_place.dxt == got.dxt);
      }
  std::printf("%s: the critic's layer norm, largest error %.1e\n", api().description(), worst);
}

TEST_CASE("the moments on the device keep their digits where the mean is far from zero") {
  const NormNumbers c({5, 1500, true, 1e-5, 0.2}, 2, 3000);
  const NormOutcome<double> want = in_double(c);
  const NormOutcome<float> got = on_device(c, false);
  for (size_t s = 0; s < 2; s++) {
    CHECK(std::abs(got.moments[s].mean - want.moments[s].mean) < 1e-12 * want.moments[s].mean);
    CHECK(std::abs(got.moments[s].scale - want.moments[s].scale) < 1e-12 * want.moments[s].scale);
  }
}

TEST_CASE("the critic's layer norm on the device does not depend on the order in which blocks and threads run") {
  if (!device_is_emulated()) return;
  const NormNumbers c({13, 1100, true, 1e-5, 0.2}, 2, 0.7);
  check_orders([&] {
    const NormOutcome<float> got = on_device(c, true);
    std::vector<double> all;
    for (const NormMoments& m : got.moments) all.insert(all.end(), {m.mean, m.scale});
    for (const TangentMoments& m : got.tangent_moments) all.insert(all.end(), {m.mean, m.along});
    for (const auto* row :
         {&got.a, &got.at, &got.dx1, &got.dgamma1, &got.dbeta1, &got.dx, &got.dxt, &got.dgamma, &got.dbeta})
      all.insert(all.end(), row->begin(), row->end());
    return all;
  });
}

// ---- the penalty and rows of numbers ----

TEST_CASE("the critic's penalty on the device, and what is done to rows of numbers") {
  const int n = 3;
  for (const int64_t voxels : {1, 255, 1300}) {
    INFO(voxels << " voxels");
    const auto real = random_numbers<float>(n * voxels, 1), fake = random_numbers<float>(n * voxels, 2);
    const std::vector<float> epsilon = {0.25f, 0.0f, 0.9f};
    const OnDevice<float> on_real(real), on_epsilon(epsilon);
    const Guarded<float> x(fake);
    REQUIRE(ops().interpolate(n, voxels, on_epsilon.data(), on_real.data(), x.data(), x.data(), nullptr) == Result::ok);
    std::vector<double> between;
    for (size_t i = 0; i < real.size(); i++) {
      const double e = double{epsilon[i / static_cast<size_t>(voxels)]};
      between.push_back(e * double{real[i]} + (1 - e) * double{fake[i]});
    }
    CHECK(relative_error(x.back(), between) < 1e-7);

    std::vector<float> g = real;  // of the second sample zeros: its norm is none to divide by
    std::fill_n(g.begin() + voxels, voxels, 0.0f);
    const OnDevice<float> on_g(g);
    const Guarded<float> direction(n * voxels, kNaN);
    const Guarded<double> norms(n, -1.0);
    const double weight = 0.7;
    const auto penalty = [&] {
      REQUIRE(ops().penalty_direction(n, voxels, on_g.data(), weight, norms.data(), direction.data(), nullptr) ==
              Result::ok);
      return direction.back();
    };
    const std::vector<float> got = penalty();
    std::vector<double> want;
    for (int s = 0; s < n; s++) {
      double squares = 0;
      for (int64_t i = s * voxels; i < (s + 1) * voxels; i++) squares += std::pow(double{g[i]}, 2);
      const double norm = std::sqrt(squares);
      CHECK(std::abs(norms.back()[s] - norm) <= 1e-12 * norm);
      for (int64_t i = s * voxels; i < (s + 1) * voxels; i++)
        want.push_back(norm > 0 ? weight * (norm - 1) / norm * double{g[i]} : 0.0);
    }
    CHECK(relative_error(got, want) < 1e-7);
    if (device_is_emulated()) check_orders(penalty);
  }

  for (const int64_t count : {1, 300, 70001}) {
    INFO(count << " numbers");
    const auto a = random_numbers<float>(count, 1), b = random_numbers<float>(count, 2);
    const OnDevice<float> from(a);
    const Guarded<float> to(b), copied(count, kNaN);
    REQUIRE(ops().add_scaled(count, -0.3f, from.data(), to.data(), nullptr) == Result::ok);
    std::vector<double> sum;
    for (size_t i = 0; i < a.size(); i++) sum.push_back(double{b[i]} - double{0.3f} * double{a[i]});
    CHECK(relative_error(to.back(), sum) < 1e-7);
    REQUIRE(ops().copy(count, from.data(), copied.data(), nullptr) == Result::ok);
    CHECK(copied.back() == a);
    REQUIRE(ops().fill(count, -1.5f, copied.data(), nullptr) == Result::ok);
    CHECK(copied.back() == std::vector<float>(a.size(), -1.5f));

    const Guarded<double> partial(cuda::kSquareParts, kNaN);
    const OnDevice<cuda::StepSums> sums(std::vector<cuda::StepSums>{{1.0, 2.0, kNaN}});
    const auto squares_of = [&] {
      REQUIRE(api().training.sum_of_squares(from.data(), count, partial.data(), sums.data(), nullptr) == Result::ok);
      return std::vector<double>{sums.back()[0].loss, sums.back()[0].input_loss, sums.back()[0].gradient_squares};
    };
    double squares = 0;
    for (const float v : a) squares += double{v} * double{v};
    const std::vector<double> got = squares_of();
    CHECK((got[0] == 1 && got[1] == 2));
    CHECK(std::abs(got[2] - squares) < 1e-12 * squares);
    if (device_is_emulated() && count == 300) check_orders(squares_of);
  }
}

}  // namespace
}  // namespace sr
