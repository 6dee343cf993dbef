#include "tools/timing.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "tools/common/interrupt.h"

namespace sr {
namespace {

double error_against_ref(const Weights& weights, RestoreOptions options) {
  options.backend.patch = {11, 11, 11};
  options.margin = 0;
  const Volume input = test_volume(options.backend.patch);
  const Volume result = Restorer(weights, options).restore(input, {});
  options.backend.kind = BackendKind::ref;
  const Volume expected = Restorer(weights, options).restore(input, {});
  double worst = 0, squares = 0;
  for (size_t i = 0; i < expected.data.size(); i++) {
    const double e = std::abs(static_cast<double>(result.data[i]) - expected.data[i]);
    worst = std::isfinite(e) ? std::max(worst, e) : INFINITY;
    squares += double{expected.data[i]} * expected.data[i];
  }
  return worst / std::sqrt(squares / static_cast<double>(expected.data.size()));
}

}  // namespace

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t n = values.size();
  return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

Volume test_volume(Size3 size) {
  Volume v(size);
  uint32_t state = 1;
  for (int z = 0; z < size.d; z++)
    for (int y = 0; y < size.h; y++)
      for (int x = 0; x < size.w; x++) {
        state = state * 1664525u + 1013904223u;
        const double noise = static_cast<double>(state >> 8) / (1 << 24) - 0.5;
        v.at(z, y, x) = static_cast<float>(1 + 0.5 * std::sin(0.3 * x) * std::cos(0.2 * y + 0.1 * z) + 0.2 * noise);
      }
  return v;
}

Volume patches_in_flight(const Restorer& restorer, const RestoreOptions& options) {
  const Size3 patch = options.backend.patch;
  const int border = 2 * options.margin;
  return test_volume({patch.d - border, patch.h - border, (patch.w - border) * restorer.backend().batch()});
}

double checked_against_ref(const Weights& weights, RestoreOptions options) {
  const double error = error_against_ref(weights, options);
  // Far above rounding (docs/perf-log.md), far below what a wrong kernel does: some forty layers of 2^-11 or 2^-8.
  const cuda::Precision precision = options.backend.precision;
  const double tolerance = precision == cuda::Precision::fp32 ? 1e-3 : precision == cuda::Precision::bf16 ? 0.15 : 0.02;
  if (!(error < tolerance))
    throw Error(Status::resource_error,
                fmt::format("the result differs from the plain loops by {:.1e} of its rms; not timed", error));
  return error;
}

std::vector<double> time_patches(Restorer& restorer, const RestoreOptions& options, int repeats,
                                 const std::function<void(int done)>& after_each) {
  const Volume volume = patches_in_flight(restorer, options);
  const int batch = restorer.backend().batch();
  std::vector<double> ms;
  for (int repeat = 0; repeat <= repeats; repeat++) {  // 0: warm-up, first touch of the buffers
    const double all = milliseconds_of([&] { restorer.restore(volume, {}); });
    stop_if_interrupted();
    if (repeat > 0) ms.push_back(all / batch);
    after_each(repeat);
  }
  return ms;
}

}  // namespace sr
