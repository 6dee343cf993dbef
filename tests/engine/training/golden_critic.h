// The critic and its loss as PyTorch's double backward makes them in float64 (tests/golden/critic/make_golden.py).
#pragma once

#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "engine/training/critic_engine.h"
#include "tests/engine/training/critic_cases.h"
#include "tests/support/catch.h"

namespace sr::train {

struct GoldenCritic {
  CriticState state;
  Batch batch;  // target: the reals
  std::vector<float> fake, epsilon;
  std::vector<double> real_scores, fake_scores, norms;
  double penalty;
  std::vector<double> gradient, without_penalty, of_fake, after_3;

  GoldenCritic() : state(first_critic({2, 5, {16, 19, 17}}, 1)) {
    const size_t n = state.parameters.size();
    const auto voxels = static_cast<size_t>(2 * state.model.patch.voxels());
    Reader f32("critic.f32"), f64("critic.f64");
    state.parameters = f32.take<float>(n);
    batch = {2, state.model.patch, std::vector<float>(voxels), f32.take<float>(voxels)};
    fake = f32.take<float>(voxels);
    epsilon = f32.take<float>(2);
    real_scores = f64.take<double>(2);
    fake_scores = f64.take<double>(2);
    norms = f64.take<double>(2);
    penalty = f64.take<double>(1)[0];
    gradient = f64.take<double>(n);
    without_penalty = f64.take<double>(n);
    of_fake = f64.take<double>(voxels);
    after_3 = f64.take<double>(n);
    REQUIRE(f32.file.peek() == EOF);
    REQUIRE(f64.file.peek() == EOF);
  }

 private:
  struct Reader {
    std::ifstream file;
    explicit Reader(const char* name)
        : file(std::filesystem::path(SR_TEST_DATA) / "golden/critic" / name, std::ios::binary) {}
    template <class T>
    std::vector<T> take(size_t n) {
      std::vector<T> v(n);
      file.read(reinterpret_cast<char*>(v.data()), static_cast<std::streamsize>(n * sizeof(T)));
      REQUIRE(file.good());
      return v;
    }
  };
};

// Everything that a critic engine does, against the golden. tolerance: of numbers relative to their norm.
inline void check_against_golden(CriticEngine& engine, const GoldenCritic& golden, double tolerance) {
  CriticResult result;
  const std::vector<float> gradient = engine.gradient(golden.fake, golden.batch, golden.epsilon, result);
  CHECK(relative_error(gradient, golden.gradient) < tolerance);
  const auto mean = [](const std::vector<double>& v) { return (v[0] + v[1]) / 2; };
  CHECK(std::abs(result.real - mean(golden.real_scores)) < tolerance * std::abs(mean(golden.real_scores)));
  CHECK(std::abs(result.fake - mean(golden.fake_scores)) < tolerance * std::abs(mean(golden.fake_scores)));
  CHECK(std::abs(result.image_gradient - mean(golden.norms)) < tolerance * mean(golden.norms));
  CHECK(std::abs(result.penalty - golden.penalty) < tolerance * golden.penalty);
  CHECK(result.finite);
}

}  // namespace sr::train
