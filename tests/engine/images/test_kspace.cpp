// Degradation and interpolation: docs/spec.md, section 6, against float64 NumPy (tests/golden/kspace/make_golden.py).
#include <omp.h>

#include <cmath>
#include <functional>
#include <numbers>

#include "engine/base/status.h"
#include "engine/images/dft.h"
#include "engine/images/kspace.h"
#include "engine/images/resample.h"
#include "tests/engine/images/kspace_golden.h"
#include "tests/support/catch.h"
#include "tests/support/volume_check.h"

using namespace sr;

namespace {

// Volumes and golden values are float32: each rounds by 6e-8 of the largest voxel, and interpolation in float32 by
// as much again per axis. Transforms are in double and add nothing.
constexpr double kRounding = 5e-7;

Volume pattern(Size3 size) {  // asymmetric, of both signs
  Volume volume(size);
  for (size_t i = 0; i < volume.data.size(); ++i)
    volume.data[i] = static_cast<float>(std::sin(0.37 * static_cast<double>(i)) + static_cast<double>(i * i % 17) / 17);
  return volume;
}

Status status_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    CHECK(std::string(e.what()).size() > 20);
    return e.status;
  }
  return Status::ok;
}

}  // namespace

TEST_CASE("the DFT of any length is the sum that defines it") {
  // 4, 5, 8, 9: kissfft's butterflies; 7, 17, 34: its loops and their limit; 23, 29, 31, 58, 181, 217, 251: Bluestein.
  const int n = GENERATE(1, 2, 3, 4, 5, 7, 8, 9, 17, 23, 29, 31, 34, 58, 181, 217, 251);
  const Direction direction = GENERATE(Direction::forward, Direction::inverse);
  std::vector<ComplexDouble> x(static_cast<size_t>(n)), y(x);
  for (int i = 0; i < n; ++i) x[i] = {std::sin(1.3 * i) + i % 3, std::cos(2.1 * i * i)};
  Dft dft(n, direction);
  dft.transform(x.data(), y.data());
  dft.transform(x.data(), y.data());  // scratch memory must not carry over
  const double sign = direction == Direction::forward ? -1 : 1;
  double worst = 0;
  for (int k = 0; k < n; ++k) {
    ComplexDouble sum = 0;
    for (int i = 0; i < n; ++i) sum += x[i] * std::polar(1.0, sign * 2 * std::numbers::pi * (k * i % n) / n);
    worst = std::max(worst, std::abs(sum - y[k]));
  }
  CAPTURE(n, worst);
  CHECK(worst <= 1e-13 * 10 * n);  // n terms of size about 2 in double
}

TEST_CASE("degradation and interpolation equal the float64 reference") {
  const test::KspaceCase c = GENERATE(from_range(std::begin(test::kKspaceCases), std::end(test::kKspaceCases)));
  CAPTURE(c.name);
  const std::string name = c.name;
  const Volume image = test::kspace_golden(name + "_image");
  const Volume low = truncate_kspace(image, c.factors);
  test::check_close(low, test::kspace_golden(name + "_low"), kRounding);
  test::check_close(upsample(low, image.size, Interpolation::linear), test::kspace_golden(name + "_linear"), kRounding);
  test::check_close(zero_fill(low, image.size), test::kspace_golden(name + "_sinc"), kRounding);
  test::check_close(degrade(image, c.factors, Interpolation::linear), test::kspace_golden(name + "_linear"), kRounding);
  test::check_close(degrade(image, c.factors, Interpolation::sinc), test::kspace_golden(name + "_sinc"), kRounding);
}

TEST_CASE("sample n of the low grid lies at n N / M of the high one") {
  // A wave of low frequency is sampled there exactly, whatever N and M.
  const auto [n, factor] = GENERATE(table<int, double>({{16, 2.0}, {17, 2.0}, {30, 1.5}, {31, 3.0}, {40, 1.25}}));
  CAPTURE(n, factor);
  Volume image({1, 1, n});
  const auto wave = [length = n](double x) { return 3 + std::cos(2 * std::numbers::pi * 2 * x / length + 0.4); };
  for (int x = 0; x < n; ++x) image.at(0, 0, x) = static_cast<float>(wave(x));
  const Volume low = truncate_kspace(image, {factor, 1, 1});
  for (int x = 0; x < low.size.w; ++x)
    CHECK(low.at(0, 0, x) == Approx(wave(x * static_cast<double>(n) / low.size.w)).epsilon(kRounding));
  test::check_close(zero_fill(low, image.size), image, kRounding);
}

TEST_CASE("M is rounded to the nearest, halves upwards") {
  CHECK(low_grid({256, 181, 217}, {2, 2, 1}) == Size3{256, 91, 109});
  CHECK(low_grid({5, 6, 7}, {7, 4, 1.2}) == Size3{4, 2, 1});
}

TEST_CASE("every interpolation keeps a constant and keeps the samples that fall on the grid") {
  const Interpolation method =
      GENERATE(Interpolation::nearest, Interpolation::linear, Interpolation::cubic, Interpolation::sinc);
  CAPTURE(static_cast<int>(method));
  Volume constant({3, 4, 5});
  for (float& v : constant.data) v = 2.5f;
  for (const float v : upsample(constant, {6, 11, 13}, method).data) REQUIRE(v == Approx(2.5).epsilon(kRounding));

  Volume low = pattern({4, 3, 5});  // odd where sinc interpolates, so that no unpaired frequency is in the way
  for (float& v : low.data) v += 2;
  const Volume high = upsample(low, {4, 9, 10}, method);
  for (int z = 0; z < 4; ++z)
    for (int y = 0; y < 3; ++y)
      for (int x = 0; x < 5; ++x) REQUIRE(high.at(z, 3 * y, 2 * x) == Approx(low.at(z, y, x)).epsilon(4 * kRounding));
}

TEST_CASE("nearest and cubic interpolation in one dimension") {
  Volume low({1, 1, 4});
  low.data = {0, 1, 4, 9};
  const Volume nearest = upsample(low, {1, 1, 8}, Interpolation::nearest);
  CHECK(nearest.data == std::vector<float>{0, 1, 1, 4, 4, 9, 9, 9});
  const Volume cubic = upsample(low, {1, 1, 8}, Interpolation::cubic);
  // Catmull-Rom at the middle: (-a + 9 b + 9 c - d) / 16, edge samples repeated. 2.25 = 1.5^2: exact on a parabola.
  const double expected[] = {0, 0.3125, 1, 2.25, 4, 6.6875, 9, 9};
  for (int x = 0; x < 8; ++x) CHECK(cubic.at(0, 0, x) == Approx(expected[x]).epsilon(kRounding));
}

TEST_CASE("the result does not depend on the number of threads") {
  const Volume image = pattern({9, 14, 22});
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const Volume one = degrade(image, {2, 1.5, 3}, Interpolation::sinc);
  omp_set_num_threads(3);
  const Volume three = degrade(image, {2, 1.5, 3}, Interpolation::sinc);
  omp_set_num_threads(threads);
  CHECK(one.data == three.data);
}

TEST_CASE("factors and grids that make no sense are refused") {
  const Volume image = pattern({4, 5, 6});
  CHECK(status_of([&] { truncate_kspace(image, {0, 1, 1}); }) == Status::bad_usage);
  CHECK(status_of([&] { truncate_kspace(image, {-2, 1, 1}); }) == Status::bad_usage);
  CHECK(status_of([&] { truncate_kspace(image, {0.99, 1, 1}); }) == Status::bad_usage);
  CHECK(status_of([&] { truncate_kspace(image, {1, NAN, 1}); }) == Status::bad_usage);
  CHECK(status_of([&] { truncate_kspace(image, {1, 1, INFINITY}); }) == Status::bad_usage);
  CHECK(status_of([&] { truncate_kspace(image, {1, 5.5, 1}); }) == Status::bad_usage);
  CHECK(status_of([&] { zero_fill(image, {4, 4, 6}); }) == Status::bad_usage);
  CHECK(status_of([&] { upsample(image, {4, 5, 5}, Interpolation::linear); }) == Status::bad_usage);
  CHECK(status_of([&] { truncate_kspace(image, {6, 5, 4}); }) == Status::ok);
}
