// The digital head: the same everywhere, plausible, and worth restoring.
#include "engine/images/phantom.h"

#include <omp.h>

#include <array>
#include <cmath>

#include "engine/base/status.h"
#include "engine/images/metrics.h"
#include "engine/images/resample.h"
#include "tests/support/catch.h"

using namespace sr;

namespace {

PhantomOptions coarse(double mm) {  // the default field of view in larger voxels
  const auto n = [mm](double fov) { return static_cast<int>(std::lround(fov / mm)); };
  PhantomOptions o;
  o.size = {n(181), n(217), n(181)};
  o.voxel_mm = {181.0 / o.size.w, 217.0 / o.size.h, 181.0 / o.size.d};
  return o;
}

struct TissueSums {
  double n = 0, sum = 0;
  double mean() const { return sum / n; }
};

std::array<TissueSums, kNTissues> by_tissue(const Phantom& phantom) {
  std::array<TissueSums, kNTissues> sums{};
  for (size_t i = 0; i < phantom.image.data.size(); ++i) {
    TissueSums& t = sums.at(static_cast<size_t>(phantom.labels.data[i]));
    t.n += 1;
    t.sum += phantom.image.data[i];
  }
  return sums;
}

const TissueSums& of(const std::array<TissueSums, kNTissues>& sums, Tissue tissue) {
  return sums[static_cast<size_t>(tissue)];
}

// FNV-1a over the voxels, which are whole numbers.
uint64_t fingerprint(const Volume& volume) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (const float v : volume.data) {
    REQUIRE(v == std::floor(v));
    hash = (hash ^ static_cast<uint64_t>(v)) * 0x100000001b3u;
  }
  return hash;
}

}  // namespace

TEST_CASE("a seed gives the same head for any number of threads and on any machine") {
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const Phantom one = make_phantom(coarse(6));
  omp_set_num_threads(3);
  const Phantom three = make_phantom(coarse(6));
  omp_set_num_threads(threads);
  CHECK(one.image.data == three.image.data);
  CHECK(one.labels.data == three.labels.data);
  // Whoever changes the anatomy on purpose writes the new numbers here; nothing else may change them.
  CHECK(fingerprint(one.image) == 0xe8dc1894c07608e6u);
  CHECK(fingerprint(one.labels) == 0xe7246b90df015ae3u);

  PhantomOptions other = coarse(6);
  other.seed = 2;
  CHECK(make_phantom(other).labels.data != one.labels.data);
}

TEST_CASE("tissues have the volumes and the contrast of a T1-weighted head") {
  PhantomOptions options = coarse(2);
  options.bias_field = false;
  const Phantom phantom = make_phantom(options);
  const auto sums = by_tissue(phantom);
  for (int t = 0; t < kNTissues; ++t) {
    CAPTURE(t);
    CHECK(sums[t].n > 0);
  }
  const double ml = options.voxel_mm[0] * options.voxel_mm[1] * options.voxel_mm[2] / 1000;
  const double grey = of(sums, Tissue::grey_matter).n * ml, white = of(sums, Tissue::white_matter).n * ml;
  CAPTURE(grey, white);
  CHECK(grey + white > 800);  // adults: about 1000 to 1200 ml without the cerebellum
  CHECK(grey + white < 1400);
  CHECK(grey / white > 0.7);  // adults: about 1.1 to 1.4
  CHECK(grey / white < 1.8);
  CHECK(of(sums, Tissue::ventricle).n * ml > 5);
  CHECK(of(sums, Tissue::ventricle).n * ml < 60);

  const Tissue darker_first[] = {Tissue::air, Tissue::csf, Tissue::grey_matter, Tissue::white_matter, Tissue::fat};
  for (size_t i = 1; i < std::size(darker_first); ++i) {
    CAPTURE(i);
    CHECK(of(sums, darker_first[i]).mean() > 1.1 * of(sums, darker_first[i - 1]).mean());
  }
  CHECK(of(sums, Tissue::white_matter).mean() == Approx(800).margin(40));
}

TEST_CASE("noise is Rician of the given strength") {
  PhantomOptions options = coarse(5);
  options.bias_field = false;
  options.noise = 0;
  const Phantom clean = make_phantom(options);
  options.noise = 20;
  const Phantom noisy = make_phantom(options);
  double air = 0, n_air = 0, squares = 0, mean = 0, n_bright = 0;
  for (size_t i = 0; i < clean.image.data.size(); ++i) {
    const double truth = clean.image.data[i], value = noisy.image.data[i];
    if (truth == 0) {
      air += value;
      ++n_air;
    } else if (truth > 400) {
      mean += value - truth;
      squares += (value - truth) * (value - truth);
      ++n_bright;
    }
  }
  REQUIRE(n_air > 5000);
  REQUIRE(n_bright > 5000);
  // Rayleigh in air, mean sigma sqrt(pi/2) = 25.07; nearly Gaussian where the signal is strong. Five standard errors of
  // 5000 voxels are 4 % of sigma; rounding adds 0.1 %.
  CHECK(air / n_air == Approx(25.07).margin(0.8));
  CHECK(std::sqrt(squares / n_bright) == Approx(20).epsilon(0.06));
  CHECK(std::abs(mean / n_bright) < 1.5);  // the Rician bias sigma^2 / 2A is at most 0.5 here
}

TEST_CASE("the head has detail that a 2x2x1 reduction takes away") {
  const Phantom phantom = make_phantom(coarse(2));
  const Volume linear = degrade(phantom.image, {2, 2, 1}, Interpolation::linear);
  const Volume sinc = degrade(phantom.image, {2, 2, 1}, Interpolation::sinc);
  const double by_linear = compare(phantom.image, linear, 2).psnr, by_sinc = compare(phantom.image, sinc, 2).psnr;
  CAPTURE(by_linear, by_sinc);
  CHECK(by_sinc > by_linear + 1);  // real T1 scans: 1.3 to 2.4 dB
  CHECK(by_sinc < 35);             // real T1 scans: 34 to 37 dB; a smooth phantom would be far above
  CHECK(by_linear > 18);
}

TEST_CASE("odd shapes are drawn and impossible ones refused") {
  PhantomOptions o;
  o.size = {1, 1, 1};
  CHECK(make_phantom(o).image.data.size() == 1);
  o.size = {3, 40, 7};
  o.voxel_mm = {30, 5, 60};
  CHECK_THROWS_AS(make_phantom(o), Error);
  o.voxel_mm = {30, 5, 50};
  CHECK(make_phantom(o).image.data.size() == 3 * 40 * 7);
  o.size = {0, 4, 4};
  CHECK_THROWS_AS(make_phantom(o), Error);
  o.size = {4, 2049, 4};
  CHECK_THROWS_AS(make_phantom(o), Error);
  o.size = {4, 4, 4};
  o.noise = -1;
  CHECK_THROWS_AS(make_phantom(o), Error);
  o.noise = NAN;
  CHECK_THROWS_AS(make_phantom(o), Error);
}
