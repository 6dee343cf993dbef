// What the critic asks of a GPU, in float32. Part of the table of kernels/cuda/api.h and under its rules.
#pragma once

#include "kernels/cuda/norm_lrelu.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/strided_conv3d.h"

namespace sr::cuda {

struct CriticApi {
  // kernels/cuda/strided_conv3d.h
  decltype(&cuda::strided_conv3d_forward) strided_conv3d_forward;
  decltype(&cuda::strided_conv3d_backward_data) strided_conv3d_backward_data;
  decltype(&cuda::strided_conv3d_partial) strided_conv3d_partial;
  decltype(&cuda::strided_conv3d_backward_weights) strided_conv3d_backward_weights;

  // kernels/cuda/norm_lrelu.h
  decltype(&cuda::norm_lrelu_partial) norm_lrelu_partial;
  decltype(&cuda::norm_lrelu_forward) norm_lrelu_forward;
  decltype(&cuda::norm_lrelu_backward) norm_lrelu_backward;
  decltype(&cuda::norm_lrelu_tangent) norm_lrelu_tangent;
  decltype(&cuda::norm_lrelu_backward_tangent) norm_lrelu_backward_tangent;
  decltype(&cuda::interpolate) interpolate;
  decltype(&cuda::penalty_direction) penalty_direction;
  decltype(&cuda::add_scaled) add_scaled;
  decltype(&cuda::fill) fill;

  // kernels/cuda/runtime.h
  decltype(&cuda::copy) copy;
};

}  // namespace sr::cuda
