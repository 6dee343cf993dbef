// CUDA C++ for compilers that know none of it: kernel sources build with it as plain C++ and run on the CPU, under the
// sanitizers if wanted. Kernels get it through kernels/cuda/portability.h; settings.h says what a test can choose.
//
// What it sees:
//   reads of shared memory or fresh device memory that nobody wrote    NaN in the result
//   missing barriers                      NaN or a dependence on the order of threads; ThreadSanitizer names the lines
//   writes beyond shared arrays and device memory     AddressSanitizer, or without it when the block or memory ends
//   divergent barriers, wrong masks, deadlocks, bad launches, misaligned loads, missing hardware   ends with a message
//   host code that does not wait for its stream       a wrong result with deferred_streams
//
// What it does not see:
//   anything within a block that another block changes meanwhile: threads change at barriers and warp collectives only,
//     and a loop that waits for another block or warp to set a flag never ends
//   weak memory order, the rounding of tensor cores (products are summed in float, one after the other) and of the fast
//     functions (exact here), registers and occupancy, time
//   kernels that read host memory, and hosts that read device memory: here it is all one
//   races between blocks that share an OS thread (settings().os_threads)
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define SR_EMULATION_NEEDS_ASAN
#elif defined(__SANITIZE_THREAD__)
#define SR_EMULATION_NEEDS_TSAN
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SR_EMULATION_NEEDS_ASAN
#elif __has_feature(thread_sanitizer)
#define SR_EMULATION_NEEDS_TSAN
#endif
#endif
#if (defined(SR_EMULATION_NEEDS_ASAN) && !defined(SR_EMULATION_ASAN)) || \
    (defined(SR_EMULATION_NEEDS_TSAN) && !defined(SR_EMULATION_TSAN))
#error "Switch sanitizers on with SRENGINE_SANITIZE: the emulation's fibers must know of them"
#endif

// There is no __shared__: SR_SHARED and SR_DYN_SHARED stand for it. __launch_bounds__ is not checked.
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)

#include "kernels/emulation/device_functions.h"
#include "kernels/emulation/device_math.h"
#include "kernels/emulation/float16.h"
#include "kernels/emulation/launch.h"
#include "kernels/emulation/runtime_api.h"
#include "kernels/emulation/vector_types.h"
