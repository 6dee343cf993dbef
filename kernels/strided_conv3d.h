// The critic's convolutions: 3x3x3 with padding 1 or 1x1x1, stride 1 or 2, any number of channels; a dense layer is a
// 1x1x1 convolution of one voxel. Maps of n samples are dense:
//   data[(((sample * channels + channel) * d + z) * h + y) * w + x]
//
//   y[co](o)              = sum over ci, t of weight[co][ci][t] x[ci](stride o + t - 1)     x is zero outside its map
//   dx[ci](v)             = sum over co, t, o with stride o + t - 1 = v of weight[co][ci][t] dy[co](o)
//   dweight[co][ci][t]   += sum over samples, o of dy[co](o) x[ci](stride o + t - 1)
//
// t counts taps per axis, 0 .. 2 (for 1x1x1 the single tap sits at stride o); sizes of y are those of x divided by the
// stride, rounded up. The three are linear in each argument, so that the way back through the way back
// (docs/wgan-gp.md) needs no others.
#pragma once

#include <memory>

#include "kernels/features.h"

namespace sr {

struct StridedConv {
  int ci, co;
  int size;    // 3 or 1
  int stride;  // 1 or 2
  Size3 in;    // of x
  Size3 out() const {
    const auto shorter = [this](int n) { return (n + stride - 1) / stride; };
    return {shorter(in.d), shorter(in.h), shorter(in.w)};
  }
  int taps() const { return size * size * size; }
  int64_t weights() const { return int64_t{co} * ci * taps(); }
};

// y and dx are sums of the same kind: columns (z, y, x) of a grid, and for each
//   to[row](to_stride m + first) = sum over channels, j of a[row][channel][tap[j].weight] from[channel](from_stride m +
//                                  tap[j].offset)
// The way back with stride 2 takes eight grids, one for each parity of a voxel: 1 to 8 of the 27 taps reach it.
struct GatherTap {
  int dz, dy, dx;
  int weight;  // of the taps of the convolution
};
struct Gather {
  Size3 from, to, grid;
  int from_stride, to_stride;
  int first_z, first_y, first_x;
  int n_taps;
  GatherTap tap[27];
};
struct GatherList {
  int n;
  Gather gather[8];
};
GatherList forward_gathers(const StridedConv& conv);   // x -> y
GatherList backward_gathers(const StridedConv& conv);  // dy -> dx

// The specification: plain loops, double.
void strided_conv3d_forward_ref(const StridedConv& conv, int n, const double* weight, const double* x, double* y);
void strided_conv3d_backward_data_ref(const StridedConv& conv, int n, const double* weight, const double* dy,
                                      double* dx);
void strided_conv3d_backward_weights_ref(const StridedConv& conv, int n, const double* x, const double* dy,
                                         double* dweight);

// Memory of the threads of a run, kept from call to call.
class GatherScratch {
 public:
  explicit GatherScratch(int n_threads);
  ~GatherScratch();
  int n_threads() const;
  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// The same in float32 with SIMD. The results do not depend on the number of threads.
void strided_conv3d_forward_cpu(const StridedConv& conv, int n, const float* weight, const float* x, float* y,
                                GatherScratch& scratch);
void strided_conv3d_backward_data_cpu(const StridedConv& conv, int n, const float* weight, const float* dy, float* dx,
                                      GatherScratch& scratch);
void strided_conv3d_backward_weights_cpu(const StridedConv& conv, int n, const float* x, const float* dy,
                                         float* dweight, GatherScratch& scratch);

}  // namespace sr
