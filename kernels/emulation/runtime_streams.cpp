// Streams, events and graphs: the order in which submitted work runs.
#include <algorithm>
#include <chrono>
#include <deque>
#include <memory>
#include <random>
#include <vector>

#include "kernels/emulation/runtime_state.h"
#include "kernels/emulation/settings.h"

namespace {

using Work = std::function<void()>;

// A captured graph. Nodes are in the order in which they were issued; dependencies point backwards.
struct Node {
  Work work;
  std::vector<size_t> depends_on;
};

struct Stream;

struct Capture {
  Stream* origin;
  cudaStreamCaptureMode mode;
  std::vector<Node> nodes;
  bool invalid = false;
};

// CUDA's handles point to these through CUstream_st and CUevent_st. Streams are shared: an event outlives the stream
// that it was recorded in.
struct Stream {
  bool blocking;  // takes turns with the default stream
  std::deque<Work> queue;
  uint64_t n_submitted = 0, n_done = 0;

  std::shared_ptr<Capture> capture;
  std::vector<size_t> heads;  // while capturing: the nodes that the next one depends on
};

}  // namespace

struct CUstream_st {
  std::shared_ptr<Stream> stream;
};

struct CUevent_st {
  bool has_time = true;
  // Recorded in a stream...
  std::shared_ptr<Stream> stream;
  uint64_t position = 0;  // of the record among the stream's work, from 1
  std::shared_ptr<std::chrono::steady_clock::time_point> time;
  // ... or in a capture.
  std::weak_ptr<Capture> capture;
  bool captured = false;
  std::vector<size_t> heads;
};

struct CUgraph_st {
  std::vector<Node> nodes;
};
struct CUgraphExec_st {
  std::shared_ptr<const std::vector<Node>> nodes;
};

namespace sr::emulation {
namespace {

struct Streams {
  std::shared_ptr<Stream> legacy = std::make_shared<Stream>(Stream{true, {}, 0, 0, nullptr, {}});
  std::vector<std::shared_ptr<Stream>> created;  // in the order of creation
  std::vector<std::weak_ptr<Capture>> captures;  // those that may still be going on
};
Streams& streams() {
  static Streams instance;
  return instance;
}

Stream& stream_of(cudaStream_t handle) {
  return handle ? *handle->stream : *streams().legacy;
}

// Runs the stream's work up to a position. Work that waits for another stream's event runs that stream first; it was
// recorded earlier, so that ends.
void run_until(Stream& stream, uint64_t position) {
  while (stream.n_done < position && !stream.queue.empty()) {
    Work work = std::move(stream.queue.front());
    stream.queue.pop_front();
    work();
    stream.n_done++;
  }
}
void run_all(Stream& stream) {
  run_until(stream, stream.n_submitted);
}

void run_every_stream() {
  std::vector<std::shared_ptr<Stream>> all = streams().created;
  all.push_back(streams().legacy);
  if (settings().order == Order::reverse) std::reverse(all.begin(), all.end());
  if (settings().order == Order::random) std::shuffle(all.begin(), all.end(), std::mt19937_64(settings().seed));
  for (const auto& stream : all) run_all(*stream);
}

cudaError_t invalidate(Capture& capture, cudaError_t why) {
  capture.invalid = true;
  return why;
}

// The default stream and the blocking ones wait for each other.
cudaError_t wait_for_default_stream(Stream& stream) {
  if (&stream == streams().legacy.get()) {
    for (const auto& other : streams().created) {
      if (!other->blocking) continue;
      if (other->capture) return invalidate(*other->capture, cudaErrorStreamCaptureImplicit);
      run_all(*other);
    }
  } else if (stream.blocking) {
    run_all(*streams().legacy);
  }
  return cudaSuccess;
}

cudaError_t submit_to(Stream& stream, Work work) {
  if (stream.capture) {
    Capture& capture = *stream.capture;
    if (capture.invalid) return cudaErrorStreamCaptureInvalidated;
    capture.nodes.push_back({std::move(work), stream.heads});
    stream.heads = {capture.nodes.size() - 1};
    return cudaSuccess;
  }
  if (const cudaError_t error = wait_for_default_stream(stream)) return error;
  stream.queue.push_back(std::move(work));
  stream.n_submitted++;
  if (!settings().deferred_streams) run_all(stream);
  return cudaSuccess;
}

// Runs each node after those that it depends on: in the order of issue, or as far from it as the order setting can go.
void run_graph(const std::vector<Node>& nodes) {
  std::mt19937_64 random(settings().seed);
  std::vector<bool> done(nodes.size());
  for (size_t n_done = 0; n_done < nodes.size(); n_done++) {
    std::vector<size_t> ready;
    for (size_t i = 0; i < nodes.size(); i++) {
      const std::vector<size_t>& needs = nodes[i].depends_on;
      if (!done[i] && std::all_of(needs.begin(), needs.end(), [&](size_t d) { return done[d]; })) ready.push_back(i);
      if (settings().order == Order::forward && !ready.empty()) break;
    }
    size_t chosen = ready.front();
    if (settings().order == Order::reverse) chosen = ready.back();
    if (settings().order == Order::random) chosen = ready[random() % ready.size()];
    nodes[chosen].work();
    done[chosen] = true;
  }
}

// All nodes lead to the given ones.
bool all_joined(const std::vector<Node>& nodes, std::vector<size_t> reached) {
  std::vector<bool> seen(nodes.size());
  while (!reached.empty()) {
    const size_t i = reached.back();
    reached.pop_back();
    if (seen[i]) continue;
    seen[i] = true;
    reached.insert(reached.end(), nodes[i].depends_on.begin(), nodes[i].depends_on.end());
  }
  return std::all_of(seen.begin(), seen.end(), [](bool s) { return s; });
}

}  // namespace

cudaError_t submit(cudaStream_t stream, Work work) {
  return submit_to(stream_of(stream), std::move(work));
}

cudaError_t check_not_capturing() {
  auto& captures = streams().captures;
  std::erase_if(captures, [](const std::weak_ptr<Capture>& c) { return c.expired(); });
  for (const auto& weak : captures)
    if (const auto capture = weak.lock(); capture && capture->mode != cudaStreamCaptureModeRelaxed)
      return invalidate(*capture, cudaErrorStreamCaptureUnsupported);
  return cudaSuccess;
}

cudaError_t synchronize_device() {
  for (const auto& weak : streams().captures)
    if (const auto capture = weak.lock()) return invalidate(*capture, cudaErrorStreamCaptureUnsupported);
  run_every_stream();
  return cudaSuccess;
}

cudaError_t synchronize_stream(cudaStream_t handle) {
  Stream& stream = stream_of(handle);
  if (stream.capture) return invalidate(*stream.capture, cudaErrorStreamCaptureUnsupported);
  if (const cudaError_t error = wait_for_default_stream(stream)) return error;
  run_all(stream);
  return cudaSuccess;
}

bool is_capturing(cudaStream_t stream) {
  return stream_of(stream).capture != nullptr;
}

void submit_launch(Launch launch, cudaStream_t stream) {
  const std::lock_guard lock(runtime_mutex());
  if (settings().device_count == 0) {
    report(cudaErrorNoDevice);
    return;
  }
  check_launch(launch);
  report(submit(stream, [launch = std::move(launch)] { run_grid(launch); }));
}

}  // namespace sr::emulation

using namespace sr::emulation;

// ---- Streams ----

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int) {
  return cudaStreamCreateWithFlags(stream, flags);
}
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  const std::lock_guard lock(runtime_mutex());
  if (settings().device_count == 0) return report(cudaErrorNoDevice);
  const bool blocking = !(flags & cudaStreamNonBlocking);
  *stream = new CUstream_st{std::make_shared<Stream>(Stream{blocking, {}, 0, 0, nullptr, {}})};
  streams().created.push_back((*stream)->stream);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  const std::lock_guard lock(runtime_mutex());
  if (!stream) return report(cudaErrorInvalidResourceHandle);
  run_all(*stream->stream);
  std::erase(streams().created, stream->stream);
  delete stream;
  return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  const std::lock_guard lock(runtime_mutex());
  return report(synchronize_stream(stream));
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  const std::lock_guard lock(runtime_mutex());
  Stream& stream = stream_of(handle);
  if (stream.capture) return report(invalidate(*stream.capture, cudaErrorStreamCaptureUnsupported));
  if (stream.queue.empty()) return cudaSuccess;
  run_until(stream, stream.n_done + 1);  // so that a loop of queries comes to an end
  return cudaErrorNotReady;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void* data) {
  const std::lock_guard lock(runtime_mutex());
  return report(submit(stream, [=] { function(data); }));
}

// ---- Events ----

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if (settings().device_count == 0) return report(cudaErrorNoDevice);
  *event = new CUevent_st;
  (*event)->has_time = !(flags & cudaEventDisableTiming);
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  if (!event) return report(cudaErrorInvalidResourceHandle);
  delete event;
  return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  const std::lock_guard lock(runtime_mutex());
  if (!event) return report(cudaErrorInvalidResourceHandle);
  Stream& stream = stream_of(handle);
  if (stream.capture) {
    event->captured = true;
    event->capture = stream.capture;
    event->heads = stream.heads;
    return cudaSuccess;
  }
  event->captured = false;
  event->stream = handle ? handle->stream : streams().legacy;
  event->position = stream.n_submitted + 1;
  event->time = std::make_shared<std::chrono::steady_clock::time_point>();
  return report(submit_to(stream, [time = event->time] { *time = std::chrono::steady_clock::now(); }));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  const std::lock_guard lock(runtime_mutex());
  if (!event) return report(cudaErrorInvalidResourceHandle);
  Stream& stream = stream_of(handle);
  if (event->captured) {
    const auto capture = event->capture.lock();
    if (!capture) return report(cudaErrorCapturedEvent);
    if (!handle) return report(invalidate(*capture, cudaErrorStreamCaptureImplicit));
    if (stream.capture && stream.capture != capture) return report(invalidate(*capture, cudaErrorStreamCaptureMerge));
    stream.capture = capture;  // from here on, this stream is captured, too
    stream.heads.insert(stream.heads.end(), event->heads.begin(), event->heads.end());
    return cudaSuccess;
  }
  if (stream.capture) return report(invalidate(*stream.capture, cudaErrorStreamCaptureIsolation));
  if (!event->stream) return cudaSuccess;  // never recorded: nothing to wait for
  return report(
      submit_to(stream, [other = event->stream, position = event->position] { run_until(*other, position); }));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  const std::lock_guard lock(runtime_mutex());
  if (!event) return report(cudaErrorInvalidResourceHandle);
  if (event->captured) return report(cudaErrorCapturedEvent);
  if (event->stream) run_until(*event->stream, event->position);
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  const std::lock_guard lock(runtime_mutex());
  if (!event) return report(cudaErrorInvalidResourceHandle);
  if (event->captured) return report(cudaErrorCapturedEvent);
  if (!event->stream || event->stream->n_done >= event->position) return cudaSuccess;
  run_until(*event->stream, event->stream->n_done + 1);
  return cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  const std::lock_guard lock(runtime_mutex());
  for (const cudaEvent_t event : {start, end})
    if (!event || !event->has_time || event->captured || !event->stream) return report(cudaErrorInvalidResourceHandle);
  for (const cudaEvent_t event : {start, end})
    if (event->stream->n_done < event->position) return cudaErrorNotReady;
  *milliseconds = std::chrono::duration<float, std::milli>(*end->time - *start->time).count();
  return cudaSuccess;
}

// ---- Graphs ----

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode) {
  const std::lock_guard lock(runtime_mutex());
  if (!stream) return report(cudaErrorStreamCaptureUnsupported);
  if (stream->stream->capture) return report(cudaErrorIllegalState);
  stream->stream->capture = std::make_shared<Capture>(Capture{stream->stream.get(), mode, {}, false});
  stream->stream->heads.clear();
  streams().captures.push_back(stream->stream->capture);
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const std::lock_guard lock(runtime_mutex());
  *graph = nullptr;
  if (!stream || !stream->stream->capture) return report(cudaErrorIllegalState);
  const std::shared_ptr<Capture> capture = stream->stream->capture;
  const bool joined = all_joined(capture->nodes, stream->stream->heads);
  const bool matched = capture->origin == stream->stream.get();
  for (const auto& s : streams().created) {
    if (s->capture != capture) continue;
    s->capture = nullptr;
    s->heads.clear();
  }
  std::erase_if(streams().captures,
                [&](const std::weak_ptr<Capture>& c) { return c.expired() || c.lock() == capture; });
  if (capture->invalid) return report(cudaErrorStreamCaptureInvalidated);
  if (!matched) return report(cudaErrorStreamCaptureUnmatched);
  if (!joined) return report(cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{std::move(capture->nodes)};
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, cudaStreamCaptureStatus* status) {
  const std::lock_guard lock(runtime_mutex());
  const auto& capture = stream_of(stream).capture;
  *status = !capture           ? cudaStreamCaptureStatusNone
            : capture->invalid ? cudaStreamCaptureStatusInvalidated
                               : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  const std::lock_guard lock(runtime_mutex());
  if (!graph) return report(cudaErrorInvalidValue);
  *executable = nullptr;
  if (!take_allocation()) return report(cudaErrorMemoryAllocation);
  *executable = new CUgraphExec_st{std::make_shared<const std::vector<Node>>(graph->nodes)};
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t executable, cudaStream_t) {
  return executable ? cudaSuccess : report(cudaErrorInvalidValue);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  const std::lock_guard lock(runtime_mutex());
  if (!executable) return report(cudaErrorInvalidValue);
  return report(submit(stream, [nodes = executable->nodes] { run_graph(*nodes); }));
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  if (!executable) return report(cudaErrorInvalidValue);
  delete executable;
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  if (!graph) return report(cudaErrorInvalidValue);
  delete graph;
  return cudaSuccess;
}
