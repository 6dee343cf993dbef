// Limits of shared memory, in bytes.
#pragma once

#include <cstddef>

#include "kernels/emulation/settings.h"

namespace sr::emulation {

constexpr size_t kStaticSharedLimit = 48 << 10;  // also of the sum, without cudaFuncSetAttribute

// CUDA programming guide, table of technical specifications per compute capability.
inline size_t shared_per_multiprocessor() {
  const Settings& s = settings();
  const int capability = 10 * s.major + s.minor;
  size_t kib = 64;  // 7.5
  if (capability < 70) kib = 96;
  if (capability == 70) kib = 96;
  if (capability == 80) kib = 164;
  if (capability == 86 || capability == 89 || capability >= 120) kib = 100;
  if (capability >= 90 && capability < 120) kib = 228;
  return kib << 10;
}

inline size_t shared_per_block_optin() {
  const int capability = 10 * settings().major + settings().minor;
  if (capability < 70) return kStaticSharedLimit;
  // From 8.0 on the system keeps 1 KiB of each block's.
  return shared_per_multiprocessor() - (capability >= 80 ? 1 << 10 : 0);
}

}  // namespace sr::emulation
