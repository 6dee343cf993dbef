// What the parts of the emulated runtime share.
#pragma once

#include <functional>
#include <mutex>

#include "kernels/emulation/runtime_api.h"

namespace sr::emulation {

// Every call of the runtime holds it.
std::recursive_mutex& runtime_mutex();

// Notes an error for cudaGetLastError, and returns it.
cudaError_t report(cudaError_t error);

// Whether device memory is left by Settings::allocations_left, of which this takes one.
bool take_allocation();

// Runs work in the order of its stream: now, when something synchronises, or when the graph is launched that the stream
// captures. Returns an error if a capture does not allow it.
cudaError_t submit(cudaStream_t stream, std::function<void()> work);

// Runs everything that is queued. An error while a stream captures a graph, where CUDA does not allow to wait; the
// capture is invalid then.
cudaError_t synchronize_device();
// The same for one stream.
cudaError_t synchronize_stream(cudaStream_t stream);

// cudaMalloc, cudaFree and the like may not be called while a graph is captured in global mode: an error, and the
// capture is invalid.
cudaError_t check_not_capturing();

bool is_capturing(cudaStream_t stream);

// Whether these bytes lie in one allocation of cudaMalloc.
bool is_device_memory(const void* p, size_t bytes);

}  // namespace sr::emulation
