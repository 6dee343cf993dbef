// PSNR, SSIM and NRMSE against scikit-image (tests/golden/kspace/make_golden.py).
#include "engine/images/metrics.h"

#include <cmath>
#include <limits>

#include "engine/base/status.h"
#include "tests/support/catch.h"
#include "tests/support/npy.h"

using namespace sr;

namespace {

constexpr double kAgreement = 1e-9;  // both compute in double; the order of sums differs

test::NpyArray golden(const std::string& name) {
  return test::read_npy(SR_TEST_DATA "/golden/kspace/metrics_" + name + ".npy");
}

Volume filled(Size3 size, float value) {
  Volume volume(size);
  for (float& v : volume.data) v = value;
  return volume;
}

}  // namespace

TEST_CASE("metrics of every slice equal scikit-image's, in each plane") {
  const int axis = GENERATE(0, 1, 2);
  CAPTURE(axis);
  const test::NpyArray rows = golden("axis" + std::to_string(axis));  // slice, psnr, ssim, nrmse
  const Metrics m = compare(golden("reference").as_volume(), golden("test").as_volume(), axis);
  REQUIRE(static_cast<int64_t>(m.slices.size()) == rows.shape.at(0));
  REQUIRE(!m.slices.empty());
  CHECK(m.n_constant == (axis == 2 ? 2 : 0));
  double sum[3] = {};
  for (size_t s = 0; s < m.slices.size(); ++s) {
    const double* row = rows.values.data() + 4 * s;
    CAPTURE(s);
    CHECK(m.slices[s].slice == static_cast<int>(row[0]));
    CHECK(m.slices[s].psnr == Approx(row[1]).epsilon(kAgreement));
    CHECK(m.slices[s].ssim == Approx(row[2]).epsilon(kAgreement));
    CHECK(m.slices[s].nrmse == Approx(row[3]).epsilon(kAgreement));
    for (int i = 0; i < 3; ++i) sum[i] += row[i + 1];
  }
  const double count = static_cast<double>(m.slices.size());
  CHECK(m.psnr == Approx(sum[0] / count).epsilon(kAgreement));
  CHECK(m.ssim == Approx(sum[1] / count).epsilon(kAgreement));
  CHECK(m.nrmse == Approx(sum[2] / count).epsilon(kAgreement));
}

TEST_CASE("an image equals itself") {
  const Volume reference = golden("reference").as_volume();
  const Metrics m = compare(reference, reference, 2);
  CHECK(m.psnr == std::numeric_limits<double>::infinity());
  CHECK(m.ssim == Approx(1).epsilon(kAgreement));
  CHECK(m.nrmse == 0);
}

TEST_CASE("slices below the window of SSIM still have PSNR and NRMSE") {
  Volume reference({2, 3, 4}), test({2, 3, 4});
  for (size_t i = 0; i < reference.data.size(); ++i) {
    reference.data[i] = static_cast<float>(i);
    test.data[i] = static_cast<float>(i) + 1;
  }
  const Metrics m = compare(reference, test, 2);
  CHECK(m.psnr == Approx(20 * std::log10(23)));  // L = 23, MSE = 1
  CHECK(std::isnan(m.ssim));
  CHECK(m.nrmse == Approx((std::sqrt(12 / 506.0) + std::sqrt(12 / 3818.0)) / 2));  // sums of squares 0..11 and 12..23
}

TEST_CASE("what cannot be measured is refused") {
  const Volume good = golden("reference").as_volume();
  Volume nan = good;
  nan.data[7] = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(compare(good, filled({2, 2, 2}, 1), 2), Error);
  CHECK_THROWS_AS(compare(filled(good.size, 3), good, 2), Error);
  CHECK_THROWS_AS(compare(good, nan, 2), Error);
  CHECK_THROWS_AS(compare(nan, good, 2), Error);
  Volume steps({2, 12, 12});  // each slice constant, the volume not
  for (size_t i = 0; i < 144; ++i) steps.data[i] = 1;
  CHECK_THROWS_AS(compare(steps, steps, 2), Error);
  CHECK_NOTHROW(compare(steps, steps, 1));
  CHECK_NOTHROW(compare(good, filled(good.size, 3), 2));  // a constant test image is only a bad one
}
