// What the sanitizers must be told about fibers and about memory that looks valid and is not. Empty without them.
//
// The files that switch fibers are compiled without instrumentation (CMakeLists.txt): their own bookkeeping is no
// kernel's race. So the compiler's macros say nothing there, and the build defines SR_EMULATION_ASAN or _TSAN.
#pragma once

#include <cstddef>

#ifdef SR_EMULATION_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef SR_EMULATION_TSAN
#include <sanitizer/tsan_interface.h>
#endif

namespace sr::emulation {

inline void poison([[maybe_unused]] const void* p, [[maybe_unused]] size_t bytes) {
#ifdef SR_EMULATION_ASAN
  __asan_poison_memory_region(p, bytes);
#endif
}

inline void unpoison([[maybe_unused]] const void* p, [[maybe_unused]] size_t bytes) {
#ifdef SR_EMULATION_ASAN
  __asan_unpoison_memory_region(p, bytes);
#endif
}

// What was written before a release of an object is ordered before what follows an acquire of it.
inline void tsan_release([[maybe_unused]] void* object) {
#ifdef SR_EMULATION_TSAN
  __tsan_release(object);
#endif
}

inline void tsan_acquire([[maybe_unused]] void* object) {
#ifdef SR_EMULATION_TSAN
  __tsan_acquire(object);
#endif
}

}  // namespace sr::emulation
