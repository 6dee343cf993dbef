// What the CUDA plugin offers the engine: devices, memory, streams, graphs, and the operations of kernels/ on a batch
// of patches. A table of plain functions, so that the plugin is loaded when a GPU is wanted and a machine without
// driver or toolkit never sees it; the emulation (kernels/emulation) fills the same table and runs the same kernels on
// the host.
//
// A function is declared and described in the header of its operation, which needs no CUDA either; here is which of
// them the table has. The engine calls them through the table alone: the functions themselves are in the plugin.
//
// Every function that can fail returns a Result; last_error() then has a sentence. Nothing throws. Pointers named
// device_* or members of FeatureMaps are device memory. Work is queued on a stream and ordered by it.
#pragma once

#include "kernels/cuda/conv3d.h"
#include "kernels/cuda/critic_api.h"
#include "kernels/cuda/fft.h"
#include "kernels/cuda/kspace.h"
#include "kernels/cuda/limits.h"
#include "kernels/cuda/patch.h"
#include "kernels/cuda/pointwise.h"
#include "kernels/cuda/runtime.h"
#include "kernels/cuda/statistics.h"
#include "kernels/cuda/training_api.h"

namespace sr::cuda {

inline constexpr int kApiVersion = 6;

struct Api {
  int version;

  // kernels/cuda/runtime.h
  decltype(&cuda::description) description;
  decltype(&cuda::last_error) last_error;
  decltype(&cuda::device_count) device_count;
  decltype(&cuda::device_info) device_info;
  decltype(&cuda::use_device) use_device;
  decltype(&cuda::allocate) allocate;
  decltype(&cuda::release) release;
  decltype(&cuda::allocate_pinned) allocate_pinned;
  decltype(&cuda::release_pinned) release_pinned;
  decltype(&cuda::upload) upload;
  decltype(&cuda::download) download;
  decltype(&cuda::create_stream) create_stream;
  decltype(&cuda::destroy_stream) destroy_stream;
  decltype(&cuda::synchronize) synchronize;
  decltype(&cuda::begin_capture) begin_capture;
  decltype(&cuda::end_capture) end_capture;
  decltype(&cuda::launch) launch;
  decltype(&cuda::destroy_graph) destroy_graph;
  decltype(&cuda::create_event) create_event;
  decltype(&cuda::destroy_event) destroy_event;
  decltype(&cuda::record) record;
  decltype(&cuda::wait_on_stream) wait_on_stream;
  decltype(&cuda::wait_on_host) wait_on_host;
  decltype(&cuda::elapsed_ms) elapsed_ms;

  // kernels/cuda/limits.h
  decltype(&cuda::measure_limits) measure_limits;

  // kernels/cuda/conv3d.h
  decltype(&cuda::supports) supports;
  decltype(&cuda::conv3d_packed_bytes) conv3d_packed_bytes;
  decltype(&cuda::conv3d_pack) conv3d_pack;
  decltype(&cuda::conv3d_parts) conv3d_parts;
  decltype(&cuda::conv3d_forward) conv3d_forward;

  // kernels/cuda/statistics.h
  decltype(&cuda::reduce_sums) reduce_sums;
  decltype(&cuda::norm_affine) norm_affine;

  // kernels/cuda/patch.h
  decltype(&cuda::gather_patches) gather_patches;
  decltype(&cuda::merge_patches) merge_patches;
  decltype(&cuda::add_images) add_images;

  // kernels/cuda/pointwise.h
  decltype(&cuda::prelu) prelu;
  decltype(&cuda::norm_add) norm_add;

  // kernels/cuda/fft.h
  decltype(&cuda::fft_missing) fft_missing;
  decltype(&cuda::plan_fft) plan_fft;
  decltype(&cuda::run_fft) run_fft;
  decltype(&cuda::destroy_fft) destroy_fft;

  // kernels/cuda/kspace.h
  decltype(&cuda::gather_lines) gather_lines;
  decltype(&cuda::crop_lines) crop_lines;
  decltype(&cuda::scatter_lines) scatter_lines;

  TrainingApi training;
  CriticApi critic;
};

}  // namespace sr::cuda

// The plugin's one entry point. Null where it was built for another version of the table.
extern "C" const sr::cuda::Api* srengine_cuda_api(int version);
