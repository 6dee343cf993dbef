// The CUDA runtime behind plain functions: devices, memory, streams, graphs, events.
#pragma once

#include "kernels/cuda/types.h"

struct CUevent_st;
struct CUgraphExec_st;

namespace sr::cuda {

using Event = CUevent_st*;      // cudaEvent_t
using Graph = CUgraphExec_st*;  // cudaGraphExec_t: ready to be launched

struct DeviceInfo {
  char name[256];
  int capability_major, capability_minor;  // 9, 0: Hopper
  int n_multiprocessors;
  int64_t total_memory, free_memory;  // bytes
};

const char* description();  // "CUDA 13.0"
const char* last_error();   // of this thread

// device_count fails with a sentence where there is no driver, or none that is new enough; use_device where the program
// has no code for this GPU.
Result device_count(int* n);
Result device_info(int device, DeviceInfo* info);
Result use_device(int device);

// Memory, of the device in use. Freshly allocated memory holds anything. Pinned memory is the host's; a copy from or
// to it runs when its turn in the stream comes, one from other host memory may have the caller wait.
Result allocate(void** device, int64_t n_bytes);
void release(void* device);
Result allocate_pinned(void** host, int64_t n_bytes);
void release_pinned(void* host);
Result upload(void* device, const void* host, int64_t n_bytes, Stream stream);
Result download(void* host, const void* device, int64_t n_bytes, Stream stream);
Result copy(int64_t n, const float* from, float* to, Stream stream);  // within the device

Result create_stream(Stream* stream);
void destroy_stream(Stream stream);
Result synchronize(Stream stream);

// Between the two, what is queued on the stream is recorded instead of run.
Result begin_capture(Stream stream);
Result end_capture(Stream stream, Graph* graph);
Result launch(Graph graph, Stream stream);
void destroy_graph(Graph graph);

Result create_event(Event* event);
void destroy_event(Event event);
Result record(Event event, Stream stream);
// What is queued on the stream from here on, or the caller, waits for what was queued before the event was last
// recorded; for nothing where it never was.
Result wait_on_stream(Stream stream, Event event);
Result wait_on_host(Event event);
Result elapsed_ms(Event first, Event last, float* milliseconds);  // both have passed

}  // namespace sr::cuda
