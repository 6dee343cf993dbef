// Timing restorations, as `bench` and `table` do it: what is restored, whether it is right, how long it takes.
#pragma once

#include <chrono>
#include <functional>
#include <vector>

#include "engine/pipeline.h"

namespace sr {

// Wall-clock time of a call.
template <class F>
double milliseconds_of(F call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

// Of at least one value.
double median(std::vector<double> values);

// Smooth structure and noise: no denormals, no constant, nothing that a branch could profit from.
Volume test_volume(Size3 size);

// As many patches as are in flight, side by side along x: restored once, they touch every buffer.
Volume patches_in_flight(const Restorer& restorer, const RestoreOptions& options);

// The largest difference from the plain loops on one small patch, in units of the result's rms. Throws
// Error{resource_error} where it is more than rounding: a network that computes something else is not timed.
double checked_against_ref(const Weights& weights, RestoreOptions options);

// Milliseconds per patch, of each of `repeats` restorations of patches_in_flight() after one to warm up. after_each is
// told how many of them are done, 0 for the warm-up. Throws Error{interrupted}.
std::vector<double> time_patches(Restorer& restorer, const RestoreOptions& options, int repeats,
                                 const std::function<void(int done)>& after_each);

}  // namespace sr
