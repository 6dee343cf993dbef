#include "kernels/cuda/runtime.h"

#include <cstdio>

#include "kernels/cuda/check.h"

namespace sr::cuda {
namespace {

thread_local char last_error_text[512] = "";

// A kernel of no use but to see whether there is code for the GPU.
__global__ void probe() {}

}  // namespace

Result fail(const char* what, const char* why) {
  std::snprintf(last_error_text, sizeof last_error_text, "%s: %s", what, why);
  return Result::failed;
}

Result check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return Result::ok;
  cudaGetLastError();  // or the next call would report it again
  fail(what, cudaGetErrorString(error));
  return error == cudaErrorMemoryAllocation ? Result::out_of_memory : Result::failed;
}

const char* last_error() {
  return last_error_text;
}

const char* description() {
  static char text[32];
  int version = 0;
  cudaRuntimeGetVersion(&version);
  std::snprintf(text, sizeof text, "CUDA %d.%d", version / 1000, version % 1000 / 10);
  return text;
}

// ---- devices ----

Result device_count(int* n) {
  *n = 0;  // the call below leaves it alone where it fails
  int driver = 0;
  if (cudaDriverGetVersion(&driver) == cudaSuccess && driver == 0)
    return fail("CUDA", "there is no NVIDIA driver on this machine");
  return check(cudaGetDeviceCount(n), "looking for GPUs");
}

Result device_info(int device, DeviceInfo* info) {
  cudaDeviceProp properties;
  if (const Result r = check(cudaGetDeviceProperties(&properties, device), "asking the GPU what it is");
      r != Result::ok)
    return r;
  std::snprintf(info->name, sizeof info->name, "%s", properties.name);
  info->capability_major = properties.major;
  info->capability_minor = properties.minor;
  info->n_multiprocessors = properties.multiProcessorCount;
  size_t free_bytes = 0, total_bytes = 0;
  int current = 0;
  cudaGetDevice(&current);
  if (Result r = check(cudaSetDevice(device), "using the GPU"); r != Result::ok) return r;
  const Result r = check(cudaMemGetInfo(&free_bytes, &total_bytes), "asking for free GPU memory");
  cudaSetDevice(current);
  info->free_memory = static_cast<int64_t>(free_bytes);
  info->total_memory = static_cast<int64_t>(total_bytes);
  return r;
}

Result use_device(int device) {
  if (const Result r = check(cudaSetDevice(device), "using the GPU"); r != Result::ok) return r;
  cudaFuncAttributes attributes;
  return check(cudaFuncGetAttributes(&attributes, reinterpret_cast<const void*>(&probe)),
               "this build has no code for the GPU");
}

// ---- memory, streams, graphs, events ----

Result allocate(void** device, int64_t n_bytes) {
  return check(cudaMalloc(device, static_cast<size_t>(n_bytes)), "allocating GPU memory");
}
void release(void* device) {
  cudaFree(device);
}
Result allocate_pinned(void** host, int64_t n_bytes) {
  return check(cudaMallocHost(host, static_cast<size_t>(n_bytes)), "allocating pinned memory");
}
void release_pinned(void* host) {
  cudaFreeHost(host);
}
Result upload(void* device, const void* host, int64_t n_bytes, Stream stream) {
  return check(cudaMemcpyAsync(device, host, static_cast<size_t>(n_bytes), cudaMemcpyHostToDevice, stream),
               "copying to the GPU");
}
Result download(void* host, const void* device, int64_t n_bytes, Stream stream) {
  return check(cudaMemcpyAsync(host, device, static_cast<size_t>(n_bytes), cudaMemcpyDeviceToHost, stream),
               "copying from the GPU");
}
Result copy(int64_t n, const float* from, float* to, Stream stream) {
  return check(cudaMemcpyAsync(to, from, static_cast<size_t>(n) * sizeof(float), cudaMemcpyDeviceToDevice, stream),
               "copying on the GPU");
}

Result create_stream(Stream* stream) {
  *stream = nullptr;
  return check(cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), "creating a stream");
}
void destroy_stream(Stream stream) {
  cudaStreamDestroy(stream);
}
Result synchronize(Stream stream) {
  return check(cudaStreamSynchronize(stream), "running on the GPU");
}

Result begin_capture(Stream stream) {
  return check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "recording a graph");
}
Result end_capture(Stream stream, Graph* graph) {
  cudaGraph_t recorded = nullptr;
  if (const Result r = check(cudaStreamEndCapture(stream, &recorded), "recording a graph"); r != Result::ok) return r;
  *graph = nullptr;
  const Result r = check(cudaGraphInstantiate(graph, recorded, 0), "preparing a graph");
  cudaGraphDestroy(recorded);
  return r;
}
Result launch(Graph graph, Stream stream) {
  return check(cudaGraphLaunch(graph, stream), "launching a graph");
}
void destroy_graph(Graph graph) {
  cudaGraphExecDestroy(graph);
}

Result create_event(Event* event) {
  *event = nullptr;
  return check(cudaEventCreate(event), "creating an event");
}
void destroy_event(Event event) {
  cudaEventDestroy(event);
}
Result record(Event event, Stream stream) {
  return check(cudaEventRecord(event, stream), "recording an event");
}
Result wait_on_stream(Stream stream, Event event) {
  return check(cudaStreamWaitEvent(stream, event, 0), "waiting for an event");
}
Result wait_on_host(Event event) {
  return check(cudaEventSynchronize(event), "running on the GPU");
}
Result elapsed_ms(Event first, Event last, float* milliseconds) {
  return check(cudaEventElapsedTime(milliseconds, first, last), "timing");
}

}  // namespace sr::cuda
