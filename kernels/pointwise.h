// What the baselines do to features outside of convolutions, and the way back. Channels of f, voxel by voxel; padding
// lanes are not touched. T is float or double. On n_threads threads (OpenMP), each its channels.
#pragma once

#include "kernels/conv3d_backward.h"

namespace sr {

// y[c] = skip[c] + scale[c] x[c] + shift[c]; y may be skip.
template <class T>
void norm_add(Features<T> f, Channels x, const T* scale, const T* shift, Channels skip, Channels y, int n_threads);

// y[c] = x[c] for x[c] >= 0, slope[c] x[c] for x[c] < 0.
template <class T>
void prelu(Features<T> f, Channels x, const T* slope, Channels y, int n_threads);

// The ways back: from g's channels y to those of x and of the parameters. sums and dslope, one per channel, are set.
//
//   norm_add  g[skip] (+)= g[y], g[x] = scale g[y];   sums = { sum of g[y], sum of g[y] x }
//   prelu     g[x] (+)= g[y] for x >= 0, slope g[y] for x < 0;   dslope = sum of g[y] x where x < 0
template <class T>
void norm_add_backward(Features<T> f, Features<T> g, Channels x, const T* scale, Channels skip, Channels y,
                       bool accumulate, GradientSums* sums, int n_threads);
template <class T>
void prelu_backward(Features<T> f, Features<T> g, Channels x, const T* slope, Channels y, bool accumulate,
                    double* dslope, int n_threads);

}  // namespace sr
