#include "kernels/emulation/settings.h"

#include <cstdlib>
#include <cstring>

namespace sr::emulation {
namespace {

Settings from_environment() {
  Settings s;
  if (const char* order = std::getenv("SR_EMULATION_ORDER")) {
    if (std::strncmp(order, "reverse", 7) == 0) s.order = Order::reverse;
    if (std::strncmp(order, "random", 6) == 0) s.order = Order::random;
    if (const char* seed = std::strchr(order, ':')) s.seed = std::strtoull(seed + 1, nullptr, 10);
  }
  if (const char* threads = std::getenv("SR_EMULATION_THREADS")) s.os_threads = std::atoi(threads);
  if (const char* memory = std::getenv("SR_EMULATION_MEMORY")) s.device_memory = std::strtoull(memory, nullptr, 10);
  if (const char* n = std::getenv("SR_EMULATION_ALLOCATIONS")) s.allocations_left = std::atoi(n);
  if (const char* streams = std::getenv("SR_EMULATION_STREAMS")) s.deferred_streams = !std::strcmp(streams, "deferred");
  if (const char* devices = std::getenv("SR_EMULATION_DEVICES")) s.device_count = std::atoi(devices);
  if (const char* cufft = std::getenv("SR_EMULATION_CUFFT")) s.cufft = std::strcmp(cufft, "missing") != 0;
  return s;
}

}  // namespace

Settings& settings() {
  static Settings instance = from_environment();
  return instance;
}

}  // namespace sr::emulation
