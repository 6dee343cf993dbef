// What training asks of a GPU besides the forward pass: gradients of the convolutions, of batch-norm and of the loss,
// the optimiser, and sums over ranks. Part of the table of kernels/cuda/api.h and under its rules. Features and
// gradients are float32. Sums are taken in an order that depends on shapes alone, so that a step gives the same bits on
// every run.
#pragma once

#include "kernels/cuda/conv3d.h"
#include "kernels/cuda/nccl.h"
#include "kernels/cuda/pointwise.h"
#include "kernels/cuda/statistics.h"
#include "kernels/cuda/training.h"

namespace sr::cuda {

struct TrainingApi {
  // kernels/cuda/conv3d.h
  decltype(&cuda::conv3d_backward_data) conv3d_backward_data;
  decltype(&cuda::backward_weights_parts) backward_weights_parts;
  decltype(&cuda::conv3d_backward_weights) conv3d_backward_weights;

  // kernels/cuda/pointwise.h
  decltype(&cuda::pointwise_parts) pointwise_parts;
  decltype(&cuda::prelu_backward) prelu_backward;
  decltype(&cuda::norm_add_backward) norm_add_backward;

  // kernels/cuda/statistics.h
  decltype(&cuda::reduce_batch_sums) reduce_batch_sums;
  decltype(&cuda::batch_moments) batch_moments;
  decltype(&cuda::moments_affine) moments_affine;

  // kernels/cuda/training.h
  decltype(&cuda::channel_totals) channel_totals;
  decltype(&cuda::reduce_parts) reduce_parts;
  decltype(&cuda::norm_gradients) norm_gradients;
  decltype(&cuda::norm_carry) norm_carry;
  decltype(&cuda::add_affine) add_affine;
  decltype(&cuda::l1_parts) l1_parts;
  decltype(&cuda::l1_loss) l1_loss;
  decltype(&cuda::gather_indexed) gather_indexed;
  decltype(&cuda::sum_of_squares) sum_of_squares;
  decltype(&cuda::adam_step) adam_step;
  decltype(&cuda::move_running_statistics) move_running_statistics;

  // kernels/cuda/nccl.h
  decltype(&cuda::communicator_missing) communicator_missing;
  decltype(&cuda::make_communicator_id) make_communicator_id;
  decltype(&cuda::join) join;
  decltype(&cuda::leave) leave;
  decltype(&cuda::all_reduce_floats) all_reduce_floats;
  decltype(&cuda::all_reduce_doubles) all_reduce_doubles;
};

}  // namespace sr::cuda
