// Device functions of CUDA C++: indices, barriers, warp collectives, atomics, loads and stores with cache hints.
#pragma once

#include <cstring>
#include <type_traits>

#include "kernels/emulation/execution.h"

#define threadIdx (static_cast<const uint3&>(::sr::emulation::coordinates->thread))
#define blockIdx (static_cast<const uint3&>(::sr::emulation::coordinates->block))
#define blockDim (static_cast<const dim3&>(::sr::emulation::coordinates->block_size))
#define gridDim (static_cast<const dim3&>(::sr::emulation::coordinates->grid_size))
constexpr int warpSize = 32;

// ---- Barriers and fences ----

inline void __syncthreads(sr::emulation::CallSite site = sr::emulation::CallSite::current()) {
  sr::emulation::block_barrier(site);
}
inline int __syncthreads_count(int predicate, sr::emulation::CallSite site = sr::emulation::CallSite::current()) {
  return static_cast<int>(sr::emulation::block_barrier_count(predicate != 0, site));
}
inline int __syncthreads_or(int predicate, sr::emulation::CallSite site = sr::emulation::CallSite::current()) {
  return __syncthreads_count(predicate, site) != 0;
}
inline int __syncthreads_and(int predicate, sr::emulation::CallSite site = sr::emulation::CallSite::current()) {
  return __syncthreads_count(predicate == 0, site) == 0;
}
inline void __syncwarp(unsigned mask = ~0u, sr::emulation::CallSite site = sr::emulation::CallSite::current()) {
  sr::emulation::exchange(mask, {}, {"__syncwarp", true}, site);
}
inline void __threadfence() {
  sr::emulation::memory_fence();
}
inline void __threadfence_block() {
  sr::emulation::memory_fence();
}
inline void __threadfence_system() {
  sr::emulation::memory_fence();
}
[[noreturn]] inline void __trap() {
  sr::emulation::fail("__trap()");
}

// ---- Shuffles ----

namespace sr::emulation {

// The value of a lane that takes no part is undefined. Where a kernel has to have asked for it on purpose that is an
// error; the lanes at the end of a __shfl_down or __shfl_up over part of a warp usually throw theirs away, so they get
// NaN.
enum class MissingLane { is_an_error, gives_nan };

template <class T>
T shuffle(unsigned mask, T value, unsigned source, MissingLane missing, const char* name, CallSite site) {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 8, "CUDA shuffles 32 and 64 bit values");
  const Deposits<T> values(mask, value, name, site);
  if (values.has(source)) return values[source];
  if (missing == MissingLane::is_an_error)
    fail(std::string(name) + " reads lane " + std::to_string(source) + ", which its mask leaves out", site);
  T nan;
  std::memset(static_cast<void*>(&nan), 0xff, sizeof(T));
  return nan;
}

}  // namespace sr::emulation

// Width: 2, 4, ... 32 lanes form a segment, each shuffled by itself.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              sr::emulation::CallSite site = sr::emulation::CallSite::current()) {
  const unsigned lane = sr::emulation::lane(), in_segment = static_cast<unsigned>(width) - 1;
  const unsigned from = (lane & ~in_segment) | (static_cast<unsigned>(source) & in_segment);
  return sr::emulation::shuffle(mask, value, from, sr::emulation::MissingLane::is_an_error, "__shfl_sync", site);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  sr::emulation::CallSite site = sr::emulation::CallSite::current()) {
  const unsigned lane = sr::emulation::lane(), in_segment = static_cast<unsigned>(width) - 1;
  unsigned from = lane ^ static_cast<unsigned>(lane_mask);
  if ((from & ~in_segment) > (lane & ~in_segment)) from = lane;  // segments in front may be read, later ones not
  return sr::emulation::shuffle(mask, value, from, sr::emulation::MissingLane::is_an_error, "__shfl_xor_sync", site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   sr::emulation::CallSite site = sr::emulation::CallSite::current()) {
  const unsigned lane = sr::emulation::lane(), in_segment = static_cast<unsigned>(width) - 1;
  const unsigned from = (lane & in_segment) + delta > in_segment ? lane : lane + delta;
  return sr::emulation::shuffle(mask, value, from, sr::emulation::MissingLane::gives_nan, "__shfl_down_sync", site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 sr::emulation::CallSite site = sr::emulation::CallSite::current()) {
  const unsigned lane = sr::emulation::lane(), in_segment = static_cast<unsigned>(width) - 1;
  const unsigned from = (lane & in_segment) < delta ? lane : lane - delta;
  return sr::emulation::shuffle(mask, value, from, sr::emulation::MissingLane::gives_nan, "__shfl_up_sync", site);
}

// ---- Votes ----

inline unsigned __ballot_sync(unsigned mask, int predicate,
                              sr::emulation::CallSite site = sr::emulation::CallSite::current()) {
  const sr::emulation::Deposits<bool> votes(mask, predicate != 0, "__ballot_sync", site);
  unsigned ballot = 0;
  for (unsigned lane = 0; lane < 32; lane++)
    if (votes.has(lane) && votes[lane]) ballot |= 1u << lane;
  return ballot;
}
inline int __any_sync(unsigned mask, int predicate, sr::emulation::CallSite site = sr::emulation::CallSite::current()) {
  return __ballot_sync(mask, predicate, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, sr::emulation::CallSite site = sr::emulation::CallSite::current()) {
  return __ballot_sync(mask, predicate == 0, site) == 0;
}

// ---- Atomics: relaxed, as on the device; they order nothing but themselves ----

namespace sr::emulation {

// Replaces *p by change(*p) and returns what was there.
template <class T, class Change>
T atomic_update(T* p, Change change) {
  T old;
  __atomic_load(p, &old, __ATOMIC_RELAXED);
  for (;;) {
    T desired = change(old);
    if (__atomic_compare_exchange(p, &old, &desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return old;
  }
}

}  // namespace sr::emulation

// The types for which CUDA has each of them.
template <class T>
requires(std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long> ||
         std::is_same_v<T, float> || std::is_same_v<T, double>) T atomicAdd(T* p, std::type_identity_t<T> value) {
  return sr::emulation::atomic_update(p, [&](T old) { return static_cast<T>(old + value); });
}
template <class T>
requires(std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, long long> ||
         std::is_same_v<T, unsigned long long>) T atomicMax(T* p, std::type_identity_t<T> value) {
  return sr::emulation::atomic_update(p, [&](T old) { return old > value ? old : value; });
}
template <class T>
requires(std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, long long> ||
         std::is_same_v<T, unsigned long long>) T atomicMin(T* p, std::type_identity_t<T> value) {
  return sr::emulation::atomic_update(p, [&](T old) { return old < value ? old : value; });
}
template <class T>
requires(std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long> ||
         std::is_same_v<T, unsigned short>) T
    atomicCAS(T* p, std::type_identity_t<T> compare, std::type_identity_t<T> value) {
  return sr::emulation::atomic_update(p, [&](T old) { return old == compare ? value : old; });
}
template <class T>
requires(std::is_same_v<T, int> || std::is_same_v<T, unsigned> || std::is_same_v<T, unsigned long long> ||
         std::is_same_v<T, float>) T atomicExch(T* p, std::type_identity_t<T> value) {
  return sr::emulation::atomic_update(p, [&](T) { return value; });
}
// Counts to limit, then starts again at 0.
inline unsigned atomicInc(unsigned* p, unsigned limit) {
  return sr::emulation::atomic_update(p, [&](unsigned old) { return old >= limit ? 0 : old + 1; });
}

// ---- Loads and stores with cache hints ----

template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldca(const T* p) {
  return *p;
}
template <class T>
T __ldcg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
void __stcg(T* p, std::type_identity_t<T> value) {
  *p = value;
}
template <class T>
void __stcs(T* p, std::type_identity_t<T> value) {
  *p = value;
}
template <class T>
void __stwb(T* p, std::type_identity_t<T> value) {
  *p = value;
}
