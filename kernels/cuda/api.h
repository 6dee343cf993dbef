// What the CUDA plugin offers the engine: devices, memory, streams, graphs, and the operations of kernels/ on a batch
// of patches. A table of plain functions, so that the plugin is loaded when a GPU is wanted and a machine without
// driver or toolkit never sees it; the emulation (kernels/emulation) fills the same table and runs the same kernels on
// the host.
//
// Every function that can fail returns a Result; last_error() then has a sentence. Nothing throws. Pointers named
// device_* or members of FeatureMaps are device memory. Work is queued on a stream and ordered by it.
#pragma once

#include "kernels/cuda/critic_api.h"
#include "kernels/cuda/training_api.h"
#include "kernels/cuda/types.h"
#include "kernels/patch.h"

namespace sr::cuda {

inline constexpr int api_version = 5;

// y = conv(prologue(x)) + bias, and the sums of y's channels: partial_sums[((p * co + c) * n_parts + part) * 2 + {0,
// 1}] receives sum and sum of squares of the voxels of each part of the patch, n_parts = conv3d_parts(); null: nobody
// asks.
struct Conv3dForward {
  Precision precision;
  ConvWeights shape;           // ci, co, size; its pointers are not used
  const void* packed_weights;  // device memory, packed by conv3d_pack
  const float* bias;           // device memory [co], or null
  Operand x, y;
  DevicePrologue prologue;
  float* partial_sums;
};

// Volumes are dense [z][y][x] float32 device memory; origins[p] of each patch is device memory as well.
struct PatchTransfer {
  float* volume;
  Size3 volume_size;
  const Origin* origins;
  int n_patches;
  Size3 patch;
  float* image;  // [p][z][y][x]
  Intensity intensity;
  Pad pad;     // of gather
  int margin;  // of merge
};

struct alignas(8) Complex {
  float re, im;
};

// Lines of samples that lie by themselves, between an array and its spectra: rows [count][length], or columns
// [length][count]. Device memory. Example: {data, 320, 2560, columns}.
enum class LineOrder : int { rows, columns };
struct LineBlock {
  Complex* data;
  int length, count;
  LineOrder order;
};

// Lines along one axis of a dense array [outer][n][inner], from line `first` on; line l holds the samples
// ((l / inner) n + s) inner + l % inner. inner of a volume [d][h][w] is 1 along w, w along h, h w along d. Device
// memory; real or complex, the other one is null.
struct AxisLines {
  float* real;
  Complex* complex;
  int64_t inner;
  int64_t first;
};

using Graph = void*;
using Event = void*;
using Fft = void*;

struct Api {
  int version;
  const char* (*description)();  // "CUDA 13.0"
  const char* (*last_error)();   // of this thread

  // Devices. device_count fails with a sentence where there is no driver, or none that is new enough; use_device where
  // the program has no code for this GPU.
  Result (*device_count)(int* n);
  Result (*device_info)(int device, DeviceInfo* info);
  Result (*use_device)(int device);

  // Memory, of the device in use. Freshly allocated memory holds anything. Pinned memory is the host's; a copy from or
  // to it runs when its turn in the stream comes, one from other host memory may have the caller wait.
  Result (*allocate)(void** device, int64_t n_bytes);
  void (*release)(void* device);
  Result (*allocate_pinned)(void** host, int64_t n_bytes);
  void (*release_pinned)(void* host);
  Result (*upload)(void* device, const void* host, int64_t n_bytes, Stream stream);
  Result (*download)(void* host, const void* device, int64_t n_bytes, Stream stream);

  Result (*create_stream)(Stream* stream);
  void (*destroy_stream)(Stream stream);
  Result (*synchronize)(Stream stream);
  // Between the two, what is queued on the stream is recorded instead of run.
  Result (*begin_capture)(Stream stream);
  Result (*end_capture)(Stream stream, Graph* graph);
  Result (*launch)(Graph graph, Stream stream);
  void (*destroy_graph)(Graph graph);

  Result (*create_event)(Event* event);
  void (*destroy_event)(Event event);
  Result (*record)(Event event, Stream stream);
  // What is queued on the stream from here on, or the caller, waits for what was queued before the event was last
  // recorded; for nothing where it never was.
  Result (*wait_on_stream)(Stream stream, Event event);
  Result (*wait_on_host)(Event event);
  Result (*elapsed_ms)(Event first, Event last, float* milliseconds);  // both have passed

  // What the device in use can do at most (kernels/cuda/limits.h).
  Result (*measure_limits)(double* gflops, double* gbytes_per_s);

  // Operations. supports: null, or why the convolution is not offered on the device in use ("its channel counts are no
  // multiples of 4", "bf16 needs compute capability 8.0 or newer").
  const char* (*supports)(const ConvWeights& shape, Precision precision);
  int64_t (*conv3d_packed_bytes)(const ConvWeights& shape, Precision precision);
  void (*conv3d_pack)(const ConvWeights& conv, Precision precision, void* host_packed);
  int (*conv3d_parts)(const ConvWeights& shape, Precision precision, Size3 patch);
  Result (*conv3d_forward)(const Conv3dForward& conv, Stream stream);
  // sums[p * sums_stride + c] = the parts of (p, c) added in double, in their order.
  Result (*add_parts)(const float* partial_sums, int n_patches, int co, int n_parts, ChannelSums* sums,
                      int64_t sums_stride, Stream stream);
  // scale = gamma / sqrt(var + eps), shift = beta - mean scale of sums over n_voxels, for each patch.
  Result (*norm_affine)(const ChannelSums* sums, int64_t sums_stride, int n_patches, int n_channels, double n_voxels,
                        double eps, const float* gamma, const float* beta, float* scale, float* shift,
                        int64_t affine_stride, Stream stream);
  Result (*gather_patches)(const PatchTransfer& transfer, Stream stream);
  Result (*merge_patches)(const PatchTransfer& transfer, Stream stream);
  // kernels/pointwise.h, on channels of one batch of feature maps. norm: scale and shift alone.
  Result (*prelu)(Precision precision, const FeatureMaps& maps, Channels x, const float* slope, Channels y,
                  Stream stream);
  Result (*norm_add)(Precision precision, const FeatureMaps& maps, Channels x, const DevicePrologue& norm,
                     Channels skip, Channels y, Stream stream);
  Result (*add_images)(const float* x, float* y, int64_t n, Stream stream);  // y += x

  // Discrete Fourier transforms, by cuFFT, which is looked for when fft_missing is first called. It gives null, or why
  // there are none; only after null may the others be called. A plan is for blocks of one length, count and order, on
  // the device in use; run_fft transforms such a block in place, unscaled, with n_work_bytes of device memory that is
  // free for other uses once the work on the stream is done.
  const char* (*fft_missing)();
  Result (*plan_fft)(int length, int count, LineOrder order, Fft* plan, int64_t* n_work_bytes);
  Result (*run_fft)(Fft plan, Complex* block, bool inverse, void* work, Stream stream);
  void (*destroy_fft)(Fft plan);
  // kernels/cuda/kspace.h. `to` and `kept` say how long the lines are.
  Result (*gather_lines)(const AxisLines& from, const LineBlock& to, Stream stream);
  Result (*crop_lines)(const LineBlock& spectra, const LineBlock& kept, Stream stream);
  Result (*scatter_lines)(const LineBlock& from, const AxisLines& to, Stream stream);

  TrainingApi training;
  CriticApi critic;
};

}  // namespace sr::cuda

// The plugin's one entry point. Null where it was built for another version of the table.
extern "C" const sr::cuda::Api* srengine_cuda_api(int version);
