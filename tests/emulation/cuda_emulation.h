// CUDA C++ for compilers that know none of it: kernel sources build with it as plain C++ and run on the CPU, under the
// sanitizers if wanted. Kernels get it through kernels/cuda_portability.h.
//
// What it sees and what it does not: docs/architecture.md, tests/test_emulation.cpp.
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

#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __grid_constant__
#define __align__(n) alignas(n)

#include "tests/emulation/device_functions.h"
#include "tests/emulation/device_math.h"
#include "tests/emulation/float16.h"
#include "tests/emulation/launch.h"
#include "tests/emulation/runtime_api.h"
#include "tests/emulation/vector_types.h"
