// Device and pinned memory, copies and fills.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>

#include "kernels/emulation/runtime_state.h"
#include "kernels/emulation/sanitizers.h"
#include "kernels/emulation/settings.h"

namespace sr::emulation {
namespace {

constexpr size_t kGuardBytes = 256;  // on both sides; also the alignment of cudaMalloc
constexpr unsigned char kNaN = 0xff;

enum class Where { host, device, pinned };

struct Allocation {
  Where where;
  size_t bytes;
};

// Blocks of memory with guards around them: poisoned under AddressSanitizer; without it, a write there is seen when the
// memory is freed, and a read is NaN.
class Allocations {
 public:
  cudaError_t allocate(void** p, size_t bytes, Where where) {
    if (where == Where::device && bytes > settings().device_memory - std::min(device_bytes_, settings().device_memory))
      return cudaErrorMemoryAllocation;
    if (where == Where::device && !take_allocation()) return cudaErrorMemoryAllocation;
    const size_t rounded = (bytes + kGuardBytes - 1) / kGuardBytes * kGuardBytes;
    auto* base = static_cast<unsigned char*>(std::aligned_alloc(kGuardBytes, rounded + 2 * kGuardBytes));
    if (!base) return cudaErrorMemoryAllocation;
    std::memset(base, kNaN, rounded + 2 * kGuardBytes);
    poison(base, kGuardBytes);
    poison(base + kGuardBytes + bytes, rounded - bytes + kGuardBytes);
    *p = base + kGuardBytes;
    allocations_[reinterpret_cast<uintptr_t>(*p)] = {where, bytes};
    if (where == Where::device) device_bytes_ += bytes;
    return cudaSuccess;
  }

  cudaError_t release(void* p, Where where) {
    if (!p) return cudaSuccess;
    const auto it = allocations_.find(reinterpret_cast<uintptr_t>(p));
    if (it == allocations_.end() || it->second.where != where) return cudaErrorInvalidValue;
    const size_t bytes = it->second.bytes;
    const size_t rounded = (bytes + kGuardBytes - 1) / kGuardBytes * kGuardBytes;
    unsigned char* data = static_cast<unsigned char*>(p);
    unpoison(data - kGuardBytes, rounded + 2 * kGuardBytes);
    const auto untouched = [](unsigned char byte) { return byte == kNaN; };
    if (!std::all_of(data - kGuardBytes, data, untouched))
      fail("an allocation of " + std::to_string(bytes) + " bytes was written in front of its start");
    if (!std::all_of(data + bytes, data + rounded + kGuardBytes, untouched))
      fail("an allocation of " + std::to_string(bytes) + " bytes was written beyond its end");
    std::free(data - kGuardBytes);
    if (where == Where::device) device_bytes_ -= bytes;
    allocations_.erase(it);
    return cudaSuccess;
  }

  struct Range {
    Where where;
    bool inside;  // of one allocation, all of it; ordinary host memory is not known and taken to be
  };
  Range look_up(const void* p, size_t bytes) const {
    const auto address = reinterpret_cast<uintptr_t>(p);
    auto it = allocations_.upper_bound(address);
    if (it == allocations_.begin()) return {Where::host, true};
    --it;
    const uintptr_t end = it->first + it->second.bytes;
    if (address >= end + kGuardBytes) return {Where::host, true};
    return {it->second.where, address + bytes <= end};
  }

  size_t device_bytes() const { return device_bytes_; }

 private:
  std::map<uintptr_t, Allocation> allocations_;  // by address
  size_t device_bytes_ = 0;
};

Allocations& allocations() {
  static Allocations instance;
  return instance;
}

// A copy of `height` rows of `width` bytes, or a fill of one row.
struct Copy {
  void* to;
  size_t to_pitch;
  const void* from;
  size_t from_pitch;
  size_t width, height;
  cudaMemcpyKind kind;

  static size_t extent(size_t pitch, size_t width, size_t height) { return height ? pitch * (height - 1) + width : 0; }
  Allocations::Range source() const { return allocations().look_up(from, extent(from_pitch, width, height)); }
  Allocations::Range target() const { return allocations().look_up(to, extent(to_pitch, width, height)); }

  cudaError_t check() const {
    if (width == 0 || height == 0) return cudaSuccess;
    if (!to || !from || (height > 1 && (to_pitch < width || from_pitch < width))) return cudaErrorInvalidValue;
    const Allocations::Range source_range = source(), target_range = target();
    if (!source_range.inside || !target_range.inside) return cudaErrorInvalidValue;
    if (kind == cudaMemcpyDefault) return cudaSuccess;
    const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    const bool matches =
        from_device == (source_range.where == Where::device) && to_device == (target_range.where == Where::device);
    return matches ? cudaSuccess : cudaErrorInvalidValue;
  }

  void run() const {
    // Checked when it was submitted; since then its memory may have been freed.
    if (check() != cudaSuccess) fail("a queued or captured copy runs, but its memory is no longer what it was");
    for (size_t row = 0; row < height; row++)
      std::memcpy(static_cast<char*>(to) + row * to_pitch, static_cast<const char*>(from) + row * from_pitch, width);
  }
};

cudaError_t copy_async(const Copy& copy, cudaStream_t stream) {
  if (const cudaError_t error = copy.check()) return report(error);
  if (const cudaError_t error = submit(stream, [copy] { copy.run(); })) return report(error);
  // Pageable memory is copied before the call returns; only pinned memory is read or written later.
  const bool pageable = copy.source().where == Where::host || copy.target().where == Where::host;
  return pageable && !is_capturing(stream) ? report(synchronize_stream(stream)) : cudaSuccess;
}

cudaError_t copy_and_wait(const Copy& copy) {
  if (const cudaError_t error = check_not_capturing()) return report(error);
  if (const cudaError_t error = copy_async(copy, nullptr)) return error;
  return report(synchronize_stream(nullptr));
}

}  // namespace

size_t device_bytes_allocated() {
  const std::lock_guard lock(runtime_mutex());
  return allocations().device_bytes();
}

bool take_allocation() {
  int& left = settings().allocations_left;
  if (left == 0) return false;
  left--;
  return true;
}

bool is_device_memory(const void* p, size_t bytes) {
  const std::lock_guard lock(runtime_mutex());
  const Allocations::Range range = allocations().look_up(p, bytes);
  return range.where == Where::device && range.inside;
}

}  // namespace sr::emulation

using namespace sr::emulation;

cudaError_t cudaMalloc(void** p, size_t bytes) {
  const std::lock_guard lock(runtime_mutex());
  if (settings().device_count == 0) return report(cudaErrorNoDevice);
  if (const cudaError_t error = check_not_capturing()) return report(error);
  *p = nullptr;
  return bytes == 0 ? cudaSuccess : report(allocations().allocate(p, bytes, Where::device));
}

cudaError_t cudaFree(void* p) {
  const std::lock_guard lock(runtime_mutex());
  if (const cudaError_t error = check_not_capturing()) return report(error);
  if (const cudaError_t error = synchronize_device()) return report(error);
  return report(allocations().release(p, Where::device));
}

cudaError_t cudaMallocHost(void** p, size_t bytes, unsigned) {
  const std::lock_guard lock(runtime_mutex());
  if (settings().device_count == 0) return report(cudaErrorNoDevice);
  if (const cudaError_t error = check_not_capturing()) return report(error);
  *p = nullptr;
  return bytes == 0 ? cudaSuccess : report(allocations().allocate(p, bytes, Where::pinned));
}
cudaError_t cudaHostAlloc(void** p, size_t bytes, unsigned flags) {
  return cudaMallocHost(p, bytes, flags);
}

cudaError_t cudaFreeHost(void* p) {
  const std::lock_guard lock(runtime_mutex());
  if (const cudaError_t error = check_not_capturing()) return report(error);
  if (const cudaError_t error = synchronize_device()) return report(error);
  return report(allocations().release(p, Where::pinned));
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  const std::lock_guard lock(runtime_mutex());
  if (settings().device_count == 0) return report(cudaErrorNoDevice);
  *total = settings().device_memory;
  *free = *total - std::min(*total, allocations().device_bytes());
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  return cudaMemcpy2D(to, bytes, from, bytes, bytes, 1, kind);
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  return cudaMemcpy2DAsync(to, bytes, from, bytes, bytes, 1, kind, stream);
}
cudaError_t cudaMemcpy2D(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width, size_t height,
                         cudaMemcpyKind kind) {
  const std::lock_guard lock(runtime_mutex());
  return copy_and_wait({to, to_pitch, from, from_pitch, width, height, kind});
}
cudaError_t cudaMemcpy2DAsync(void* to, size_t to_pitch, const void* from, size_t from_pitch, size_t width,
                              size_t height, cudaMemcpyKind kind, cudaStream_t stream) {
  const std::lock_guard lock(runtime_mutex());
  return copy_async({to, to_pitch, from, from_pitch, width, height, kind}, stream);
}

cudaError_t cudaMemset(void* p, int value, size_t bytes) {
  const std::lock_guard lock(runtime_mutex());
  if (const cudaError_t error = check_not_capturing()) return report(error);
  return cudaMemsetAsync(p, value, bytes, nullptr);
}
cudaError_t cudaMemsetAsync(void* p, int value, size_t bytes, cudaStream_t stream) {
  const std::lock_guard lock(runtime_mutex());
  if (bytes == 0) return cudaSuccess;
  const auto valid = [p, bytes] {
    const Allocations::Range range = allocations().look_up(p, bytes);
    return range.inside && range.where != Where::host;
  };
  if (!valid()) return report(cudaErrorInvalidValue);
  return report(submit(stream, [=] {
    if (!valid()) fail("a queued or captured cudaMemset runs, but its memory is no longer what it was");
    std::memset(p, value, bytes);
  }));
}
