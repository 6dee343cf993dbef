// The emulated CUDA runtime: memory, streams, events, graphs, properties.
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/cuda/portability.h"
#include "tests/kernels/emulation/device_array.h"
#include "tests/support/catch.h"

namespace sr {
namespace {

using emulation::DeviceArray;
using emulation::Order;
using emulation::SettingsForTest;

__global__ void add_to(float* y, float value, int n) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) y[i] += value;
}
__global__ void times(float* y, float value) {
  y[threadIdx.x] *= value;
}

// ---- Memory ----

TEST_CASE("fresh device memory is NaN, and counted", "[emulation]") {
  const size_t before = emulation::device_bytes_allocated();
  {
    const DeviceArray<float> x(5);
    for (const float v : x.get()) CHECK(std::isnan(v));
    CHECK(emulation::device_bytes_allocated() == before + 20);
    CHECK(reinterpret_cast<uintptr_t>(x.data()) % 256 == 0);
  }
  CHECK(emulation::device_bytes_allocated() == before);
  CHECK(cudaFree(nullptr) == cudaSuccess);
  float on_the_stack;
  CHECK(cudaFree(&on_the_stack) == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
}

TEST_CASE("device memory runs out at the limit", "[emulation]") {
  SettingsForTest settings;
  settings->device_memory = emulation::device_bytes_allocated() + 1000;
  const DeviceArray<char> most(900);
  size_t free = 0, total = 0;
  REQUIRE(cudaMemGetInfo(&free, &total) == cudaSuccess);
  CHECK(free == 100);
  CHECK(total == settings->device_memory);
  void* p = &free;
  CHECK(cudaMalloc(&p, 101) == cudaErrorMemoryAllocation);
  CHECK(p == nullptr);
  CHECK(cudaPeekAtLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaErrorMemoryAllocation);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(std::string(cudaGetErrorString(cudaErrorMemoryAllocation)) == "out of memory");
  REQUIRE(cudaMalloc(&p, 100) == cudaSuccess);
  cudaFree(p);
}

TEST_CASE("copies are checked", "[emulation]") {
  const DeviceArray<float> x(4), y(4);
  std::vector<float> host(8, 2.0f);
  CHECK(cudaMemcpy(x, host.data(), 20, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);  // 16 bytes large
  CHECK(cudaMemcpy(x, host.data(), 16, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(host.data(), host.data() + 4, 16, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemset(x, 0, 17) == cudaErrorInvalidValue);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  CHECK(cudaMemcpy(x, host.data(), 16, cudaMemcpyDefault) == cudaSuccess);
  CHECK(cudaMemcpy(y, x, 16, cudaMemcpyDeviceToDevice) == cudaSuccess);
  CHECK(y.get() == std::vector<float>(4, 2.0f));
}

TEST_CASE("copies of rows", "[emulation]") {
  std::vector<float> image(3 * 8);
  std::iota(image.begin(), image.end(), 0.0f);
  const DeviceArray<float> x(3 * 4);
  cudaMemset(x, 0, 48);
  REQUIRE(cudaMemcpy2D(x, 16, image.data() + 2, 32, 12, 3, cudaMemcpyHostToDevice) == cudaSuccess);
  CHECK(x.get() == std::vector<float>{2, 3, 4, 0, 10, 11, 12, 0, 18, 19, 20, 0});
  CHECK(cudaMemcpy2D(x, 8, image.data(), 32, 12, 3, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  cudaGetLastError();
}

__constant__ float g_table[4];
__global__ void read_table(float* y) {
  y[threadIdx.x] = g_table[threadIdx.x];
}

TEST_CASE("constant memory", "[emulation]") {
  const float table[4] = {4, 3, 2, 1};
  REQUIRE(cudaMemcpyToSymbol(g_table, table, sizeof table) == cudaSuccess);
  const DeviceArray<float> y(4);
  SR_LAUNCH(read_table, 1, 4, 0, 0, y);
  CHECK(y.get() == std::vector<float>{4, 3, 2, 1});
}

// ---- Streams and events ----

// A stream, and pinned memory of four floats.
struct StreamTest {
  StreamTest() {
    REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    REQUIRE(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking) == cudaSuccess);
    REQUIRE(cudaEventCreate(&event) == cudaSuccess);
    REQUIRE(cudaMallocHost(&pinned, 4 * sizeof(float)) == cudaSuccess);
  }
  ~StreamTest() {
    cudaFreeHost(pinned);
    cudaEventDestroy(event);
    cudaStreamDestroy(other);
    cudaStreamDestroy(stream);
  }
  void fill(float value) { std::fill_n(pinned, 4, value); }
  SettingsForTest settings;
  cudaStream_t stream, other;
  cudaEvent_t event;
  float* pinned;
};

TEST_CASE("deferred streams run when they are waited for", "[emulation]") {
  StreamTest t;
  t.settings->deferred_streams = true;
  const DeviceArray<float> x(std::vector<float>(4, 0.0f));
  t.fill(1.0f);
  cudaMemcpyAsync(x, t.pinned, 16, cudaMemcpyHostToDevice, t.stream);
  SR_LAUNCH(add_to, 1, 32, 0, t.stream, x, 10.0f, 4);
  cudaMemcpyAsync(t.pinned, x, 16, cudaMemcpyDeviceToHost, t.stream);
  CHECK(t.pinned[0] == 1.0f);
  CHECK(cudaStreamQuery(t.stream) == cudaErrorNotReady);

  SECTION("by the host") {
    CHECK(cudaStreamSynchronize(t.stream) == cudaSuccess);
    CHECK(cudaStreamQuery(t.stream) == cudaSuccess);
  }
  SECTION("by the host, through an event") {
    cudaEventRecord(t.event, t.stream);
    CHECK(cudaEventSynchronize(t.event) == cudaSuccess);
  }
  SECTION("by another stream, through an event") {
    cudaEventRecord(t.event, t.stream);
    cudaStreamWaitEvent(t.other, t.event);
    cudaStreamSynchronize(t.other);
  }
  CHECK(t.pinned[0] == 11.0f);
}

TEST_CASE("deferred streams show a host that changes its buffer too early", "[emulation]") {
  StreamTest t;
  t.settings->deferred_streams = true;
  const DeviceArray<float> x(std::vector<float>(4, 0.0f));
  t.fill(1.0f);
  cudaMemcpyAsync(x, t.pinned, 16, cudaMemcpyHostToDevice, t.stream);
  t.fill(2.0f);
  cudaStreamSynchronize(t.stream);
  CHECK(x.get()[0] == 2.0f);
  // Pageable memory is read before the call returns.
  std::vector<float> pageable(4, 3.0f);
  cudaMemcpyAsync(x, pageable.data(), 16, cudaMemcpyHostToDevice, t.stream);
  pageable.assign(4, 4.0f);
  cudaStreamSynchronize(t.stream);
  CHECK(x.get()[0] == 3.0f);
}

TEST_CASE("deferred streams without an event run in any order", "[emulation]") {
  StreamTest t;
  t.settings->deferred_streams = true;
  for (const bool with_event : {false, true})
    for (const Order order : {Order::forward, Order::reverse}) {
      t.settings->order = order;
      const DeviceArray<float> x(std::vector<float>(4, 1.0f));
      SR_LAUNCH(add_to, 1, 32, 0, t.stream, x, 1.0f, 4);
      cudaEventRecord(t.event, t.stream);
      if (with_event) cudaStreamWaitEvent(t.other, t.event);
      SR_LAUNCH(times, 1, 4, 0, t.other, x, 10.0f);
      CHECK(cudaDeviceSynchronize() == cudaSuccess);
      CHECK(x.get()[0] == (order == Order::reverse && !with_event ? 11.0f : 20.0f));
    }
}

TEST_CASE("the default stream and blocking streams wait for each other", "[emulation]") {
  StreamTest t;
  t.settings->deferred_streams = true;
  cudaStream_t blocking;
  REQUIRE(cudaStreamCreate(&blocking) == cudaSuccess);
  const DeviceArray<float> x(std::vector<float>(4, 1.0f));
  SR_LAUNCH(add_to, 1, 32, 0, blocking, x, 1.0f, 4);
  SR_LAUNCH(times, 1, 4, 0, 0, x, 10.0f);
  SR_LAUNCH(add_to, 1, 32, 0, blocking, x, 1.0f, 4);
  cudaStreamSynchronize(blocking);
  CHECK(x.get()[0] == 21.0f);
  cudaStreamDestroy(blocking);
}

TEST_CASE("events measure time", "[emulation]") {
  StreamTest t;
  cudaEvent_t end, without_time;
  cudaEventCreate(&end);
  cudaEventCreateWithFlags(&without_time, cudaEventDisableTiming);
  const DeviceArray<float> x(std::vector<float>(4, 1.0f));
  cudaEventRecord(t.event, t.stream);
  SR_LAUNCH(add_to, 20, 256, 0, t.stream, x, 1.0f, 4);
  cudaEventRecord(end, t.stream);
  cudaEventRecord(without_time, t.stream);
  cudaEventSynchronize(end);
  float milliseconds = -1.0f;
  CHECK(cudaEventElapsedTime(&milliseconds, t.event, end) == cudaSuccess);
  CHECK(milliseconds > 0.0f);
  CHECK(milliseconds < 10000.0f);
  CHECK(cudaEventElapsedTime(&milliseconds, t.event, without_time) == cudaErrorInvalidResourceHandle);
  cudaGetLastError();
  cudaEventDestroy(end);
  cudaEventDestroy(without_time);
}

// ---- Graphs ----

TEST_CASE("a captured graph runs when it is launched, with the arguments of the capture", "[emulation]") {
  StreamTest t;
  t.settings->deferred_streams = GENERATE(false, true);
  const DeviceArray<float> x(std::vector<float>(4, 0.0f));
  float value = 10.0f;
  t.fill(1.0f);
  REQUIRE(cudaStreamBeginCapture(t.stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
  cudaStreamCaptureStatus status;
  CHECK(cudaStreamIsCapturing(t.stream, &status) == cudaSuccess);
  CHECK(status == cudaStreamCaptureStatusActive);
  cudaMemcpyAsync(x, t.pinned, 16, cudaMemcpyHostToDevice, t.stream);
  SR_LAUNCH(add_to, 1, 32, 0, t.stream, x, value, 4);
  cudaMemcpyAsync(t.pinned, x, 12, cudaMemcpyDeviceToHost, t.stream);
  cudaMemsetAsync(x, 0, 4, t.stream);
  cudaGraph_t graph;
  REQUIRE(cudaStreamEndCapture(t.stream, &graph) == cudaSuccess);
  value = 1000.0f;
  CHECK(x.get() == std::vector<float>(4, 0.0f));  // nothing has run
  CHECK(t.pinned[0] == 1.0f);

  cudaGraphExec_t executable;
  REQUIRE(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
  t.fill(2.0f);  // the copy reads what is there at the launch
  REQUIRE(cudaGraphLaunch(executable, t.stream) == cudaSuccess);
  cudaStreamSynchronize(t.stream);
  CHECK(t.pinned[0] == 12.0f);
  CHECK(t.pinned[3] == 2.0f);
  CHECK(x.get() == std::vector<float>{0.0f, 12.0f, 12.0f, 12.0f});

  REQUIRE(cudaGraphLaunch(executable, t.stream) == cudaSuccess);
  cudaStreamSynchronize(t.stream);
  CHECK(t.pinned[0] == 22.0f);
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
}

TEST_CASE("a capture spreads to other streams through events, and must come back", "[emulation]") {
  StreamTest t;
  t.settings->order = GENERATE(Order::forward, Order::reverse, Order::random);
  const bool join = GENERATE(false, true);
  const DeviceArray<float> x(std::vector<float>(4, 1.0f)), y(std::vector<float>(4, 1.0f));
  cudaEvent_t back;
  cudaEventCreateWithFlags(&back, cudaEventDisableTiming);
  REQUIRE(cudaStreamBeginCapture(t.stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
  SR_LAUNCH(add_to, 1, 32, 0, t.stream, x, 1.0f, 4);
  CHECK(cudaEventRecord(t.event, t.stream) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(t.other, t.event) == cudaSuccess);
  SR_LAUNCH(times, 1, 4, 0, t.other, x, 10.0f);
  SR_LAUNCH(times, 1, 4, 0, t.stream, y, 5.0f);
  CHECK(cudaEventRecord(back, t.other) == cudaSuccess);
  if (join) CHECK(cudaStreamWaitEvent(t.stream, back) == cudaSuccess);
  if (join) SR_LAUNCH(add_to, 1, 32, 0, t.stream, x, 3.0f, 4);
  cudaGraph_t graph;
  const cudaError_t error = cudaStreamEndCapture(t.stream, &graph);
  if (join) {
    REQUIRE(error == cudaSuccess);
    cudaGraphExec_t executable;
    REQUIRE(cudaGraphInstantiate(&executable, graph) == cudaSuccess);
    cudaGraphLaunch(executable, t.other);
    cudaStreamSynchronize(t.other);
    CHECK(x.get()[0] == 23.0f);
    CHECK(y.get()[0] == 5.0f);
    cudaGraphExecDestroy(executable);
    cudaGraphDestroy(graph);
  } else {
    CHECK(error == cudaErrorStreamCaptureUnjoined);
    CHECK(graph == nullptr);
    CHECK(x.get()[0] == 1.0f);
  }
  CHECK(cudaStreamSynchronize(t.other) == cudaSuccess);  // captures nothing any more
  cudaEventDestroy(back);
  cudaGetLastError();
}

TEST_CASE("what a capture does not allow makes it invalid", "[emulation]") {
  StreamTest t;
  const DeviceArray<float> x(4);
  cudaGraph_t graph;
  void* p = nullptr;
  const auto capture = [&](auto forbidden, cudaError_t expected) {
    REQUIRE(cudaStreamBeginCapture(t.stream, cudaStreamCaptureModeGlobal) == cudaSuccess);
    CHECK(forbidden() == expected);
    CHECK(cudaStreamEndCapture(t.stream, &graph) == cudaErrorStreamCaptureInvalidated);
    CHECK(graph == nullptr);
    cudaGetLastError();
  };
  capture([&] { return cudaStreamSynchronize(t.stream); }, cudaErrorStreamCaptureUnsupported);
  capture([&] { return cudaDeviceSynchronize(); }, cudaErrorStreamCaptureUnsupported);
  capture([&] { return cudaMalloc(&p, 16); }, cudaErrorStreamCaptureUnsupported);
  capture([&] { return cudaMemset(x, 0, 16); }, cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamEndCapture(t.stream, &graph) == cudaErrorIllegalState);
  CHECK(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal) == cudaErrorStreamCaptureUnsupported);
  cudaGetLastError();
}

// ---- Properties ----

TEST_CASE("device properties follow the settings", "[emulation]") {
  SettingsForTest settings;
  settings->major = 7;
  settings->minor = 5;
  settings->multiprocessors = 40;
  int count = 0;
  CHECK(cudaGetDeviceCount(&count) == cudaSuccess);
  CHECK(count == 1);
  cudaDeviceProp p;
  REQUIRE(cudaGetDeviceProperties(&p, 0) == cudaSuccess);
  CHECK(std::string(p.name) == "emulated");
  CHECK(p.major * 10 + p.minor == 75);
  CHECK(p.multiProcessorCount == 40);
  CHECK(p.sharedMemPerBlockOptin == 64 << 10);
  CHECK(cudaGetDeviceProperties(&p, 1) == cudaErrorInvalidDevice);

  settings->device_count = 0;
  count = 77;
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
  CHECK(count == 77);
  void* memory;
  CHECK(cudaMalloc(&memory, 16) == cudaErrorNoDevice);
  cudaGetLastError();
}

__global__ void use_dynamic_shared(float* y, int last) {
  SR_DYN_SHARED(float, values);
  values[last] = 3.0f;
  *y = values[last];
}

TEST_CASE("large dynamic shared memory is asked for", "[emulation]") {
  const DeviceArray<float> y(1);
  constexpr int kBytes = 200 << 10;
  int blocks = -1;
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, use_dynamic_shared, 256, kBytes) == cudaSuccess);
  CHECK(blocks == 0);
  CHECK(cudaFuncSetAttribute(use_dynamic_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, 228 << 10) ==
        cudaErrorInvalidValue);
  cudaGetLastError();
  REQUIRE(cudaFuncSetAttribute(use_dynamic_shared, cudaFuncAttributeMaxDynamicSharedMemorySize, kBytes) == cudaSuccess);
  SR_LAUNCH(use_dynamic_shared, 1, 1, kBytes, 0, y, kBytes / 4 - 1);
  CHECK(y.get()[0] == 3.0f);
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, use_dynamic_shared, 256, kBytes) == cudaSuccess);
  CHECK(blocks == 1);
  CHECK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, use_dynamic_shared, 256, 0) == cudaSuccess);
  CHECK(blocks == 8);
  cudaFuncAttributes attributes;
  REQUIRE(cudaFuncGetAttributes(&attributes, use_dynamic_shared) == cudaSuccess);
  CHECK(attributes.maxDynamicSharedSizeBytes == kBytes);
}

}  // namespace
}  // namespace sr
