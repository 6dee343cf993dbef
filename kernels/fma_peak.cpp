#include "kernels/fma_peak.h"

#include <algorithm>
#include <chrono>
#include <cstdint>

#include "kernels/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/fma_peak.cpp"
#include <hwy/foreach_target.h>
//
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace sr::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// 12 independent chains: two units times a latency of 4 or 5 cycles want 10, and 12 fit 16 registers. The values tend
// to 1 and stay there. Returns the multiply-adds done per round; *result keeps the compiler from dropping them.
int64_t fma_chains(int64_t n_rounds, float* result) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const V a = hn::Set(d, 0.5f), b = hn::Set(d, 0.5f), start = hn::Iota(d, 0.0f);
  // Each chain starts elsewhere; equal ones would be merged.
  V x0 = start;
  V x1 = hn::Add(x0, a);
  V x2 = hn::Add(x1, a);
  V x3 = hn::Add(x2, a);
  V x4 = hn::Add(x3, a);
  V x5 = hn::Add(x4, a);
  V x6 = hn::Add(x5, a);
  V x7 = hn::Add(x6, a);
  V x8 = hn::Add(x7, a);
  V x9 = hn::Add(x8, a);
  V x10 = hn::Add(x9, a);
  V x11 = hn::Add(x10, a);
  for (int64_t i = 0; i < n_rounds; i++) {
    x0 = hn::MulAdd(x0, a, b);
    x1 = hn::MulAdd(x1, a, b);
    x2 = hn::MulAdd(x2, a, b);
    x3 = hn::MulAdd(x3, a, b);
    x4 = hn::MulAdd(x4, a, b);
    x5 = hn::MulAdd(x5, a, b);
    x6 = hn::MulAdd(x6, a, b);
    x7 = hn::MulAdd(x7, a, b);
    x8 = hn::MulAdd(x8, a, b);
    x9 = hn::MulAdd(x9, a, b);
    x10 = hn::MulAdd(x10, a, b);
    x11 = hn::MulAdd(x11, a, b);
  }
  V sum = hn::Add(hn::Add(hn::Add(x0, x1), hn::Add(x2, x3)), hn::Add(hn::Add(x4, x5), hn::Add(x6, x7)));
  sum = hn::Add(sum, hn::Add(hn::Add(x8, x9), hn::Add(x10, x11)));
  *result = hn::GetLane(hn::SumOfLanes(d, sum));
  return 12 * static_cast<int64_t>(hn::Lanes(d));
}

}  // namespace sr::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace sr {

HWY_EXPORT(fma_chains);

double measure_fma_peak_gflops(int n_threads) {
  using Clock = std::chrono::steady_clock;
  constexpr int64_t kRounds = 400'000;  // about 1 ms: short enough to run undisturbed now and then on a busy machine
  constexpr int kRuns = 20;             // at least so many, where a thread hardly gets to run
  const auto chains = HWY_DYNAMIC_DISPATCH(fma_chains);
  double total = 0;
  // All threads stop at one time, not after one number of runs: the last one must not have a core's second half to
  // itself.
  const auto deadline = Clock::now() + std::chrono::milliseconds(100);
#pragma omp parallel num_threads(n_threads) reduction(+ : total)
  {
    double best = 0;
    for (int run = 0; run < kRuns || Clock::now() < deadline; run++) {
      float result = 0;
      const auto begin = Clock::now();
      const int64_t n = kRounds * chains(kRounds, &result);
      const std::chrono::duration<double> seconds = Clock::now() - begin;
      if (result > 0) best = std::max(best, 2e-9 * static_cast<double>(n) / seconds.count());
    }
    total += best;
  }
  return total;
}

}  // namespace sr
#endif  // HWY_ONCE
