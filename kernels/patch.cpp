#include "kernels/patch.h"

#include <algorithm>
#include <vector>

namespace sr {
namespace {

// Index i of an axis of n voxels, mirrored at both ends without repeating the edge voxel.
int reflected(int i, int n) {
  if (n == 1) return 0;
  const int period = 2 * (n - 1);
  i = ((i % period) + period) % period;
  return i < n ? i : period - i;
}

// For each of `count` patch positions the volume index it reads, or -1 for "nothing there".
std::vector<int> sources(int first, int count, int n, Pad pad) {
  std::vector<int> at(static_cast<size_t>(count));
  for (int i = 0; i < count; i++) {
    const int v = first + i;
    at[i] = v >= 0 && v < n ? v : pad == Pad::reflect ? reflected(v, n) : -1;
  }
  return at;
}

}  // namespace

template <class T>
void gather_patch(const float* volume, Size3 size, Origin origin, Pad pad, Intensity intensity, Features<T> f,
                  int image) {
  const auto [d, h, w] = f.layout.size;
  const std::vector<int> zs = sources(origin.z, d, size.d, pad);
  const std::vector<int> ys = sources(origin.y, h, size.h, pad);
  const std::vector<int> xs = sources(origin.x, w, size.w, pad);
  // Divided in double: the float64 reference and the float32 engine then start from the same numbers.
  const double a = intensity.a, scale = 1 / intensity.b;
  for (size_t z = 0; z < zs.size(); z++)
    for (size_t y = 0; y < ys.size(); y++) {
      T* row = f.at(image, static_cast<int>(z), static_cast<int>(y));
      std::fill(row, row + f.layout.row, T{0});
      if (zs[z] < 0 || ys[y] < 0) continue;
      const float* source = volume + (int64_t{zs[z]} * size.h + ys[y]) * size.w;
      for (size_t x = 0; x < xs.size(); x++)
        if (xs[x] >= 0) row[x] = static_cast<T>((source[xs[x]] - a) * scale);
    }
}

template <class T>
void merge_patch(Features<T> f, int result, Origin origin, int margin, Intensity intensity, float* volume, Size3 size) {
  const auto [d, h, w] = f.layout.size;
  const int z1 = std::min(d - margin, size.d - origin.z);
  const int y1 = std::min(h - margin, size.h - origin.y);
  const int x1 = std::min(w - margin, size.w - origin.x);
  const int z0 = std::max(margin, -origin.z), y0 = std::max(margin, -origin.y), x0 = std::max(margin, -origin.x);
  for (int z = z0; z < z1; z++)
    for (int y = y0; y < y1; y++) {
      const T* row = f.at(result, z, y);
      float* target = volume + ((int64_t{origin.z} + z) * size.h + origin.y + y) * size.w + origin.x;
      for (int x = x0; x < x1; x++) target[x] = static_cast<float>(row[x] * intensity.b + intensity.a);
    }
}

template <class T>
void add_channel(Features<T> f, int x, int y) {
  const T* from = f.at(x);
  T* to = f.at(y);
  const ptrdiff_t n = f.layout.plane * f.layout.size.d;
  for (ptrdiff_t i = 0; i < n; i++) to[i] += from[i];
}

template void gather_patch<float>(const float*, Size3, Origin, Pad, Intensity, Features<float>, int);
template void gather_patch<double>(const float*, Size3, Origin, Pad, Intensity, Features<double>, int);
template void merge_patch<float>(Features<float>, int, Origin, int, Intensity, float*, Size3);
template void merge_patch<double>(Features<double>, int, Origin, int, Intensity, float*, Size3);
template void add_channel<float>(Features<float>, int, int);
template void add_channel<double>(Features<double>, int, int);

}  // namespace sr
