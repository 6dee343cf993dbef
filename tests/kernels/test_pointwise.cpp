// What lies between the convolutions of the baselines: known answers, and the ways back as slopes of the ways there.
#include "kernels/pointwise.h"

#include <cmath>
#include <random>
#include <vector>

#include "tests/support/catch.h"

namespace sr {
namespace {

constexpr Size3 kSize{2, 3, 5};
constexpr double kUntouched = 7;

// Channels 0, 1: x; 2, 3: skip; 4, 5: y; 6: nobody's.
template <class T>
struct Buffer {
  explicit Buffer(unsigned seed) : data(static_cast<size_t>(buffer_elements(layout, 7)), static_cast<T>(kUntouched)) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    for (int c = 0; c < 6; c++) for_row(c, [&](T& v) { v = static_cast<T>(normal(random)); });
  }
  template <class F>
  void for_row(int c, F f) {
    for (int z = 0; z < kSize.d; z++)
      for (int y = 0; y < kSize.h; y++)
        for (int i = 0; i < kSize.w; i++) f(features().at(c, z, y)[i]);
  }
  Features<T> features() { return {data.data(), layout}; }
  double at(int c, int voxel) {
    return features().at(c, voxel / (kSize.h * kSize.w), voxel / kSize.w % kSize.h)[voxel % kSize.w];
  }
  bool padding_is_untouched() const {
    for (int c = 0; c < 7; c++)
      for (ptrdiff_t i = 0; i < layout.plane * kSize.d; i++)
        if ((c == 6 || i % layout.row >= kSize.w) && data[c * layout.channel + i] != static_cast<T>(kUntouched))
          return false;
    return true;
  }
  Layout layout = padded_layout(kSize);
  std::vector<T> data;
};

}  // namespace

TEMPLATE_TEST_CASE("norm_add and prelu do what they say, on any number of threads", "", float, double) {
  const TestType scale[] = {2, -0.5}, shift[] = {0.25, 1}, slope[] = {0.5, -2};
  for (const int n_threads : {1, 3}) {
    Buffer<TestType> before(1), sum(1), in_place(1), bent(1);
    norm_add(sum.features(), {0, 2}, scale, shift, {2, 2}, {4, 2}, n_threads);
    norm_add(in_place.features(), {0, 2}, scale, shift, {2, 2}, {2, 2}, n_threads);
    prelu(bent.features(), {0, 2}, slope, {4, 2}, n_threads);
    for (int c = 0; c < 2; c++)
      for (int v = 0; v < kSize.voxels(); v++) {
        const double x = before.at(c, v), wanted = before.at(2 + c, v) + scale[c] * x + shift[c];
        CHECK(std::abs(sum.at(4 + c, v) - wanted) < 1e-6);
        CHECK(sum.at(c, v) == x);
        CHECK(in_place.at(2 + c, v) == sum.at(4 + c, v));
        CHECK(std::abs(bent.at(4 + c, v) - (x < 0 ? slope[c] * x : x)) < 1e-6);
      }
    CHECK(sum.padding_is_untouched());
    CHECK(bent.padding_is_untouched());
  }
}

TEST_CASE("the ways back of norm_add and prelu are the slopes of their sums") {
  const double scale[] = {2, -0.5}, shift[] = {0.25, 1}, slope[] = {0.5, -2}, h = 1e-6;
  Buffer<double> f(1);
  Buffer<double> weights(2);  // of y in the sum whose slopes these are
  const auto slope_at = [&](auto run, int c, int voxel) {
    const auto value = [&](double step) {
      Buffer<double> moved = f;
      moved.features().at(c, voxel / (kSize.h * kSize.w), voxel / kSize.w % kSize.h)[voxel % kSize.w] += step;
      run(moved);
      double sum = 0;
      for (int k = 4; k < 6; k++)
        for (int v = 0; v < kSize.voxels(); v++) sum += moved.at(k, v) * weights.at(k, v);
      return sum;
    };
    return (value(h) - value(-h)) / (2 * h);
  };
  const auto add = [&](Buffer<double>& b) { norm_add(b.features(), {0, 2}, scale, shift, {2, 2}, {4, 2}, 1); };
  const auto bend = [&](Buffer<double>& b) { prelu(b.features(), {0, 2}, slope, {4, 2}, 1); };

  for (const bool accumulate : {false, true}) {
    Buffer<double> g = weights;
    GradientSums sums[2];
    norm_add_backward(f.features(), g.features(), {0, 2}, scale, {2, 2}, {4, 2}, accumulate, sums, 2);
    Buffer<double> bent = weights;
    double dslope[2];
    prelu_backward(f.features(), bent.features(), {0, 2}, slope, {4, 2}, accumulate, dslope, 2);
    for (int c = 0; c < 2; c++) {
      double sum = 0, times_x = 0, of_slope = 0;
      for (int v = 0; v < kSize.voxels(); v++) {
        CHECK(std::abs(g.at(c, v) - slope_at(add, c, v)) < 1e-8);
        CHECK(std::abs(g.at(2 + c, v) - slope_at(add, 2 + c, v) - accumulate * weights.at(2 + c, v)) < 1e-8);
        CHECK(std::abs(bent.at(c, v) - slope_at(bend, c, v) - accumulate * weights.at(c, v)) < 1e-8);
        const double dy = weights.at(4 + c, v), x = f.at(c, v);
        sum += dy, times_x += dy * x, of_slope += x < 0 ? dy * x : 0;
      }
      CHECK(std::abs(sums[c].sum - sum) < 1e-12);
      CHECK(std::abs(sums[c].sum_times_x - times_x) < 1e-12);
      CHECK(std::abs(dslope[c] - of_slope) < 1e-12);
    }
  }
}

}  // namespace sr
