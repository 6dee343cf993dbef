#include "kernels/pointwise.h"

#include <algorithm>

namespace sr {
namespace {

// row(c, z, y) for every row of x.count channels.
template <class Row>
void for_rows(const Layout& layout, Channels x, int n_threads, Row row) {
#pragma omp parallel for num_threads(n_threads)
  for (int c = 0; c < x.count; c++)
    for (int z = 0; z < layout.size.d; z++)
      for (int y = 0; y < layout.size.h; y++) row(c, z, y);
}

}  // namespace

template <class T>
void norm_add(Features<T> f, Channels x, const T* scale, const T* shift, Channels skip, Channels y, int n_threads) {
  for_rows(f.layout, x, n_threads, [&](int c, int z, int row) {
    const T *from = f.at(x.first + c, z, row), *beside = f.at(skip.first + c, z, row);
    T* to = f.at(y.first + c, z, row);
    const T a = scale[c], b = shift[c];
#pragma omp simd
    for (int i = 0; i < f.layout.size.w; i++) to[i] = beside[i] + (a * from[i] + b);
  });
}

template <class T>
void prelu(Features<T> f, Channels x, const T* slope, Channels y, int n_threads) {
  for_rows(f.layout, x, n_threads, [&](int c, int z, int row) {
    const T* from = f.at(x.first + c, z, row);
    T* to = f.at(y.first + c, z, row);
    const T a = slope[c];
#pragma omp simd
    for (int i = 0; i < f.layout.size.w; i++) to[i] = from[i] < 0 ? a * from[i] : from[i];
  });
}

template <class T>
void norm_add_backward(Features<T> f, Features<T> g, Channels x, const T* scale, Channels skip, Channels y,
                       bool accumulate, GradientSums* sums, int n_threads) {
  std::fill_n(sums, x.count, GradientSums{});
  for_rows(f.layout, x, n_threads, [&](int c, int z, int row) {
    const T *value = f.at(x.first + c, z, row), *dy = g.at(y.first + c, z, row);
    T *dx = g.at(x.first + c, z, row), *dskip = g.at(skip.first + c, z, row);
    const T a = scale[c];
    double sum = 0, sum_times_x = 0;
    for (int i = 0; i < f.layout.size.w; i++) {
      sum += double{dy[i]};
      sum_times_x += double{dy[i]} * double{value[i]};
      dx[i] = a * dy[i];
      dskip[i] = accumulate ? dskip[i] + dy[i] : dy[i];
    }
    sums[c].sum += sum;
    sums[c].sum_times_x += sum_times_x;
  });
}

template <class T>
void prelu_backward(Features<T> f, Features<T> g, Channels x, const T* slope, Channels y, bool accumulate,
                    double* dslope, int n_threads) {
  std::fill_n(dslope, x.count, 0.0);
  for_rows(f.layout, x, n_threads, [&](int c, int z, int row) {
    const T *value = f.at(x.first + c, z, row), *dy = g.at(y.first + c, z, row);
    T* dx = g.at(x.first + c, z, row);
    const T a = slope[c];
    double sum = 0;
    for (int i = 0; i < f.layout.size.w; i++) {
      const T dt = value[i] < 0 ? a * dy[i] : dy[i];
      if (value[i] < 0) sum += double{dy[i]} * double{value[i]};
      dx[i] = accumulate ? dx[i] + dt : dt;
    }
    dslope[c] += sum;
  });
}

template void norm_add<float>(Features<float>, Channels, const float*, const float*, Channels, Channels, int);
template void norm_add<double>(Features<double>, Channels, const double*, const double*, Channels, Channels, int);
template void prelu<float>(Features<float>, Channels, const float*, Channels, int);
template void prelu<double>(Features<double>, Channels, const double*, Channels, int);
template void norm_add_backward<float>(Features<float>, Features<float>, Channels, const float*, Channels, Channels,
                                       bool, GradientSums*, int);
template void norm_add_backward<double>(Features<double>, Features<double>, Channels, const double*, Channels, Channels,
                                        bool, GradientSums*, int);
template void prelu_backward<float>(Features<float>, Features<float>, Channels, const float*, Channels, bool, double*,
                                    int);
template void prelu_backward<double>(Features<double>, Features<double>, Channels, const double*, Channels, bool,
                                     double*, int);

}  // namespace sr
