#include "engine/images/resample.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "engine/base/status.h"

namespace sr {
namespace {

// One output sample of an axis: weights[0..3] of the input samples index[0..3].
struct Taps {
  int index[4];
  float weight[4];
};

Taps taps_at(double x, int n_low, Interpolation method) {
  const int last = n_low - 1;
  if (method == Interpolation::nearest) {
    const int i = std::min(static_cast<int>(x + 0.5), last);
    return {{i, i, i, i}, {1, 0, 0, 0}};
  }
  x = std::min(x, static_cast<double>(last));  // the last interval has no right end
  const int i = static_cast<int>(x);
  const double t = x - i;
  const auto clamped = [last](int s) { return std::clamp(s, 0, last); };
  if (method == Interpolation::linear)
    return {{i, clamped(i + 1), i, i}, {static_cast<float>(1 - t), static_cast<float>(t), 0, 0}};
  // Catmull-Rom (Keys 1981, a = -1/2).
  return {{clamped(i - 1), i, clamped(i + 1), clamped(i + 2)},
          {static_cast<float>(((2 - t) * t - 1) * t / 2), static_cast<float>(((3 * t - 5) * t * t + 2) / 2),
           static_cast<float>(((4 - 3 * t) * t + 1) * t / 2), static_cast<float>((t - 1) * t * t / 2)}};
}

std::vector<Taps> axis_taps(int n_low, int n_high, Interpolation method) {
  std::vector<Taps> taps;
  const double step = static_cast<double>(n_low) / n_high;
  for (int n = 0; n < n_high; ++n) taps.push_back(taps_at(n * step, n_low, method));
  return taps;
}

// Along the middle axis of (outer, n_low, inner), inner contiguous: (outer, n_high, inner) out. Any axis of a volume is
// such a middle axis.
std::vector<float> interpolate_axis(const std::vector<float>& in, int64_t outer, int n_low, int64_t inner, int n_high,
                                    Interpolation method) {
  const std::vector<Taps> taps = axis_taps(n_low, n_high, method);
  std::vector<float> out(static_cast<size_t>(outer * n_high * inner));
#pragma omp parallel for schedule(static)
  for (int64_t row = 0; row < outer * n_high; ++row) {
    const Taps& t = taps[row % n_high];
    const float* base = in.data() + row / n_high * n_low * inner;
    const float *a = base + t.index[0] * inner, *b = base + t.index[1] * inner, *c = base + t.index[2] * inner,
                *d = base + t.index[3] * inner;
    const auto [wa, wb, wc, wd] = t.weight;
    float* y = out.data() + row * inner;
    for (int64_t x = 0; x < inner; ++x) y[x] = wa * a[x] + wb * b[x] + wc * c[x] + wd * d[x];
  }
  return out;
}

}  // namespace

Volume upsample(const Volume& low, Size3 high, Interpolation method) {
  const Size3 from = low.size;
  if (high.d < from.d || high.h < from.h || high.w < from.w)
    throw Error(Status::bad_usage, fmt::format("upsampling from {}x{}x{} to {}x{}x{} would lose samples on some axis",
                                               from.w, from.h, from.d, high.w, high.h, high.d));
  if (method == Interpolation::sinc) return zero_fill(low, high);
  Volume out;
  out.size = high;
  out.data = low.data;
  if (from.w != high.w) out.data = interpolate_axis(out.data, int64_t{from.d} * from.h, from.w, 1, high.w, method);
  if (from.h != high.h) out.data = interpolate_axis(out.data, from.d, from.h, high.w, high.h, method);
  if (from.d != high.d) out.data = interpolate_axis(out.data, 1, from.d, int64_t{high.h} * high.w, high.d, method);
  return out;
}

Volume undo_linear(const Volume& image, Size3 low) {
  const Size3 high = image.size;
  const int step_d = high.d / low.d, step_h = high.h / low.h, step_w = high.w / low.w;
  if (low.d * step_d != high.d || low.h * step_h != high.h || low.w * step_w != high.w)
    throw Error(
        Status::bad_usage,
        fmt::format("{}x{}x{} voxels were interpolated linearly from {}x{}x{}, which is no whole factor, so what "
                    "was measured cannot be told; restore the image on its native grid with --upsample",
                    high.w, high.h, high.d, low.w, low.h, low.d));
  Volume out(low);
  for (int z = 0; z < low.d; ++z)
    for (int y = 0; y < low.h; ++y)
      for (int x = 0; x < low.w; ++x) out.at(z, y, x) = image.at(z * step_d, y * step_h, x * step_w);
  return out;
}

Volume degrade(const Volume& high, const Factors& factors, Interpolation way_back) {
  return upsample(truncate_kspace(high, factors), high.size, way_back);
}

}  // namespace sr
