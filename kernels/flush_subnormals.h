// While an object of this class lives, its thread takes numbers smaller in magnitude than the least normal float
// (1.2e-38) as zeros and writes zeros for them; after that it does what it did before. Some processors compute with
// such numbers in microcode, far slower.
//
// Networks meet them where nothing is added to zeros (no bias, no shift of a norm): around a head in air that is
// exactly zero, features shrink by a factor with each layer and each voxel of distance, down to where floats end.
#pragma once

#include <cstdint>

#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace sr {

class FlushSubnormals {
 public:
  FlushSubnormals() : before_(control()) { set_control(before_ | kFlush); }
  ~FlushSubnormals() { set_control(before_); }
  FlushSubnormals(const FlushSubnormals&) = delete;
  FlushSubnormals& operator=(const FlushSubnormals&) = delete;

#if defined(__x86_64__) || defined(__aarch64__)
  static constexpr bool kSupported = true;
#else
  static constexpr bool kSupported = false;              // nothing is changed
#endif

 private:
#if defined(__x86_64__)
  static constexpr uint32_t kFlush = 0x8040;  // MXCSR: flush to zero, denormals are zeros
  static uint32_t control() {
    return _mm_getcsr();
  }
  static void set_control(uint32_t value) {
    _mm_setcsr(value);
  }
  uint32_t before_;
#elif defined(__aarch64__)
  static constexpr uint64_t kFlush = uint64_t{1} << 24;  // FPCR.FZ: inputs and results
  static uint64_t control() {
    uint64_t value;
    asm volatile("mrs %0, fpcr" : "=r"(value) : : "memory");
    return value;
  }
  static void set_control(uint64_t value) {
    asm volatile("msr fpcr, %0" : : "r"(value) : "memory");
  }
  uint64_t before_;
#else
  static constexpr uint32_t kFlush = 0;
  static uint32_t control() {
    return 0;
  }
  static void set_control(uint32_t) {}
  uint32_t before_;
#endif
};

}  // namespace sr
