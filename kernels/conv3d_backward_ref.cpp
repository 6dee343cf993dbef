#include <cmath>

#include "kernels/conv3d_backward.h"

namespace sr {
namespace {

// a, act'(t) and what da is multiplied by in the slope's gradient, of one voxel.
struct Activation {
  double value, derivative, of_slope;
};
Activation activation(Prologue<double> prologue, int ci, double x) {
  if (!prologue.scale) return {x, 1, 0};
  const double t = prologue.scale[ci] * x + prologue.shift[ci];
  if (t >= 0) return {t, 1, 0};
  if (prologue.slope) return {prologue.slope[ci] * t, prologue.slope[ci], t};
  return {std::expm1(t), std::exp(t), 0};
}

// f(z, y, x) for the voxels of the volume.
template <class F>
void for_voxels(Size3 size, F f) {
  for (int z = 0; z < size.d; z++)
    for (int y = 0; y < size.h; y++)
      for (int x = 0; x < size.w; x++) f(z, y, x);
}

// f(tap, dz, dy, dx) for the taps of a kernel: their numbers and offsets.
template <class F>
void for_taps(int size, F f) {
  const int r = size / 2;
  int tap = 0;
  for (int dz = -r; dz <= r; dz++)
    for (int dy = -r; dy <= r; dy++)
      for (int dx = -r; dx <= r; dx++) f(tap++, dz, dy, dx);
}

bool inside(Size3 size, int z, int y, int x) {
  return z >= 0 && z < size.d && y >= 0 && y < size.h && x >= 0 && x < size.w;
}

}  // namespace

std::vector<float> transposed_weights(const ConvWeights& conv) {
  const int n_taps = conv.size * conv.size * conv.size;
  std::vector<float> to(static_cast<size_t>(conv.ci) * static_cast<size_t>(conv.co) * static_cast<size_t>(n_taps));
  for (int co = 0; co < conv.co; co++)
    for (int ci = 0; ci < conv.ci; ci++)
      for (int tap = 0; tap < n_taps; tap++)
        to[(int64_t{ci} * conv.co + co) * n_taps + n_taps - 1 - tap] =
            conv.weight[(int64_t{co} * conv.ci + ci) * n_taps + tap];
  return to;
}

void conv3d_backward_data_ref(Features<double> f, Features<double> g, Channels x, Prologue<double> prologue,
                              const ConvWeights& conv, Channels y, bool accumulate, GradientSums* sums) {
  const Size3 size = f.layout.size;
  const int n_taps = conv.size * conv.size * conv.size;
  for (int ci = 0; ci < x.count; ci++) {
    GradientSums total;
    for_voxels(size, [&](int vz, int vy, int vx) {
      double da = 0;
      for (int co = 0; co < y.count; co++)
        for_taps(conv.size, [&](int tap, int dz, int dy, int dx) {
          if (inside(size, vz - dz, vy - dy, vx - dx))
            da += double{conv.weight[(int64_t{co} * conv.ci + ci) * n_taps + tap]} *
                  g.at(y.first + co, vz - dz, vy - dy)[vx - dx];
        });
      const double value = f.at(x.first + ci, vz, vy)[vx];
      const Activation a = activation(prologue, ci, value);
      const double dt = da * a.derivative;
      double& to = g.at(x.first + ci, vz, vy)[vx];
      to = (accumulate ? to : 0) + (prologue.scale ? prologue.scale[ci] : 1) * dt;
      total.sum += dt;
      total.sum_times_x += dt * value;
      total.slope += da * a.of_slope;
    });
    if (sums) sums[ci] = total;
  }
}

void conv3d_backward_weights_ref(Features<double> f, Features<double> g, Channels x, Prologue<double> prologue,
                                 int size, Channels y, double* dweight, double* dbias) {
  const Size3 volume = f.layout.size;
  for (int co = 0; co < y.count; co++) {
    for (int ci = 0; ci < x.count; ci++)
      for_taps(size, [&](int, int dz, int dy, int dx) {
        double sum = 0;
        for_voxels(volume, [&](int vz, int vy, int vx) {
          if (inside(volume, vz + dz, vy + dy, vx + dx))
            sum += g.at(y.first + co, vz, vy)[vx] *
                   activation(prologue, ci, f.at(x.first + ci, vz + dz, vy + dy)[vx + dx]).value;
        });
        *dweight++ += sum;
      });
    if (dbias) for_voxels(volume, [&](int vz, int vy, int vx) { dbias[co] += g.at(y.first + co, vz, vy)[vx]; });
  }
}

template <class T>
void add_affine(Features<T> f, Features<T> g, Channels channels, const double* slope, const double* offset) {
  const Size3 size = f.layout.size;
  for (int c = 0; c < channels.count; c++)
    for (int z = 0; z < size.d; z++)
      for (int y = 0; y < size.h; y++) {
        const T* x = f.at(channels.first + c, z, y);
        T* to = g.at(channels.first + c, z, y);
        const T a = static_cast<T>(slope[c]), b = static_cast<T>(offset[c]);
        for (int i = 0; i < size.w; i++) to[i] += a * x[i] + b;
      }
}
template void add_affine(Features<float>, Features<float>, Channels, const double*, const double*);
template void add_affine(Features<double>, Features<double>, Channels, const double*, const double*);

}  // namespace sr
