// The runtime's errors, device and kernel properties.
#include <algorithm>
#include <cstdio>

#include "kernels/emulation/runtime_state.h"
#include "kernels/emulation/settings.h"
#include "kernels/emulation/shared_limits.h"

namespace sr::emulation {
namespace {

constinit thread_local cudaError_t g_last_error = cudaSuccess;

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* sentence;
};
#define SR_ERROR(code, sentence) \
  { code, #code, sentence }
constexpr ErrorText kErrors[] = {
    SR_ERROR(cudaSuccess, "no error"),
    SR_ERROR(cudaErrorInvalidValue, "invalid argument"),
    SR_ERROR(cudaErrorMemoryAllocation, "out of memory"),
    SR_ERROR(cudaErrorInitializationError, "initialization error"),
    SR_ERROR(cudaErrorInvalidConfiguration, "invalid configuration argument"),
    SR_ERROR(cudaErrorInvalidMemcpyDirection, "invalid copy direction for memcpy"),
    SR_ERROR(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version"),
    SR_ERROR(cudaErrorInvalidDeviceFunction, "invalid device function"),
    SR_ERROR(cudaErrorNoDevice, "no CUDA-capable device is detected"),
    SR_ERROR(cudaErrorInvalidDevice, "invalid device ordinal"),
    SR_ERROR(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device"),
    SR_ERROR(cudaErrorInvalidResourceHandle, "invalid resource handle"),
    SR_ERROR(cudaErrorIllegalState, "the operation cannot be performed in the present state"),
    SR_ERROR(cudaErrorNotReady, "device not ready"),
    SR_ERROR(cudaErrorIllegalAddress, "an illegal memory access was encountered"),
    SR_ERROR(cudaErrorLaunchFailure, "unspecified launch failure"),
    SR_ERROR(cudaErrorNotSupported, "operation not supported"),
    SR_ERROR(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing"),
    SR_ERROR(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture"),
    SR_ERROR(cudaErrorStreamCaptureMerge, "operation would result in a merge of separate capture sequences"),
    SR_ERROR(cudaErrorStreamCaptureUnmatched, "capture was not ended in the same stream as it began"),
    SR_ERROR(cudaErrorStreamCaptureUnjoined, "capturing stream has unjoined work"),
    SR_ERROR(cudaErrorStreamCaptureIsolation, "dependency created on uncaptured work in another stream"),
    SR_ERROR(cudaErrorStreamCaptureImplicit, "operation would make the legacy stream depend on a capturing stream"),
    SR_ERROR(cudaErrorCapturedEvent, "operation not permitted on an event last recorded in a capturing stream"),
    SR_ERROR(cudaErrorUnknown, "unknown error"),
};
#undef SR_ERROR

const ErrorText& text_of(cudaError_t error) {
  for (const ErrorText& e : kErrors)
    if (e.error == error) return e;
  static constexpr ErrorText unknown = {cudaErrorUnknown, "unrecognized error code", "unrecognized error code"};
  return unknown;
}

bool exists(int device) {
  return device >= 0 && device < settings().device_count;
}

}  // namespace

std::recursive_mutex& runtime_mutex() {
  static std::recursive_mutex instance;
  return instance;
}

cudaError_t report(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) g_last_error = error;
  return error;
}

}  // namespace sr::emulation

using namespace sr::emulation;

cudaError_t cudaGetLastError() {
  const cudaError_t error = g_last_error;
  g_last_error = cudaSuccess;
  return error;
}
cudaError_t cudaPeekAtLastError() {
  return g_last_error;
}
const char* cudaGetErrorName(cudaError_t error) {
  return text_of(error).name;
}
const char* cudaGetErrorString(cudaError_t error) {
  return text_of(error).sentence;
}

cudaError_t cudaGetDeviceCount(int* count) {
  // As CUDA does: without a device, *count stays what it was.
  if (settings().device_count == 0) return report(cudaErrorNoDevice);
  *count = settings().device_count;
  return cudaSuccess;
}

namespace {
constinit thread_local int g_device = 0;
}
cudaError_t cudaSetDevice(int device) {
  if (settings().device_count == 0) return report(cudaErrorNoDevice);
  if (!exists(device)) return report(cudaErrorInvalidDevice);
  g_device = device;
  return cudaSuccess;
}
cudaError_t cudaGetDevice(int* device) {
  if (settings().device_count == 0) return report(cudaErrorNoDevice);
  *device = g_device;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* p, int device) {
  if (!exists(device)) return report(cudaErrorInvalidDevice);
  const Settings& s = settings();
  *p = {};
  std::snprintf(p->name, sizeof p->name, "emulated");
  p->totalGlobalMem = s.device_memory;
  p->sharedMemPerBlock = kStaticSharedLimit;
  p->sharedMemPerBlockOptin = shared_per_block_optin();
  p->sharedMemPerMultiprocessor = shared_per_multiprocessor();
  p->reservedSharedMemPerBlock = s.major >= 8 ? 1024 : 0;
  p->totalConstMem = 64 << 10;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536;
  p->warpSize = 32;
  p->maxThreadsPerBlock = 1024;
  p->maxThreadsDim[0] = p->maxThreadsDim[1] = 1024;
  p->maxThreadsDim[2] = 64;
  p->maxGridSize[0] = 0x7fffffff;
  p->maxGridSize[1] = p->maxGridSize[2] = 65535;
  p->maxThreadsPerMultiProcessor = 2048;
  p->maxBlocksPerMultiProcessor = 32;
  p->major = s.major;
  p->minor = s.minor;
  p->multiProcessorCount = s.multiprocessors;
  p->l2CacheSize = 50 << 20;
  p->memoryBusWidth = 5120;
  p->asyncEngineCount = 2;
  p->concurrentKernels = 1;
  p->unifiedAddressing = 1;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  cudaDeviceProp p;
  if (const cudaError_t error = cudaGetDeviceProperties(&p, device)) return error;
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      *value = p.maxThreadsPerBlock;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlock:
      *value = static_cast<int>(p.sharedMemPerBlock);
      break;
    case cudaDevAttrWarpSize:
      *value = p.warpSize;
      break;
    case cudaDevAttrMultiProcessorCount:
      *value = p.multiProcessorCount;
      break;
    case cudaDevAttrL2CacheSize:
      *value = p.l2CacheSize;
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = p.major;
      break;
    case cudaDevAttrComputeCapabilityMinor:
      *value = p.minor;
      break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(p.sharedMemPerMultiprocessor);
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(p.sharedMemPerBlockOptin);
      break;
    default:
      return report(cudaErrorInvalidValue);
  }
  return cudaSuccess;
}

cudaError_t cudaDriverGetVersion(int* version) {
  *version = settings().device_count ? 13000 : 0;  // 0: no driver
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  const std::lock_guard lock(runtime_mutex());
  return report(synchronize_device());
}
cudaError_t cudaDeviceReset() {
  return cudaDeviceSynchronize();
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  if (!function) return report(cudaErrorInvalidDeviceFunction);
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || static_cast<size_t>(value) + static_shared_seen(function) > shared_per_block_optin())
    return report(cudaErrorInvalidValue);
  set_dynamic_shared_limit(function, static_cast<size_t>(value));
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  if (settings().device_count == 0) return report(cudaErrorNoDevice);
  if (!function) return report(cudaErrorInvalidDeviceFunction);
  *attributes = {};
  attributes->sharedSizeBytes = static_shared_seen(function);
  attributes->maxThreadsPerBlock = 1024;
  attributes->numRegs = 32;
  attributes->ptxVersion = attributes->binaryVersion = 10 * settings().major + settings().minor;
  attributes->maxDynamicSharedSizeBytes = static_cast<int>(dynamic_shared_limit(function));
  attributes->preferredShmemCarveout = cudaSharedmemCarveoutDefault;
  return cudaSuccess;
}

// By threads, blocks and shared memory; the emulation knows nothing of registers.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int block_size,
                                                          size_t dynamic_shared) {
  if (!function) return report(cudaErrorInvalidDeviceFunction);
  if (block_size <= 0 || block_size > 1024) return report(cudaErrorInvalidValue);
  if (dynamic_shared > dynamic_shared_limit(function)) {
    *blocks = 0;
    return cudaSuccess;
  }
  const int by_threads = std::min(32, 2048 / ((block_size + 31) / 32 * 32));
  const size_t reserved = settings().major >= 8 ? 1024 : 0;
  const size_t per_block = static_shared_seen(function) + dynamic_shared + reserved;
  *blocks = per_block == 0 ? by_threads
                           : static_cast<int>(std::min(size_t(by_threads), shared_per_multiprocessor() / per_block));
  return cudaSuccess;
}
