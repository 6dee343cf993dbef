// Runs kernels on the CPU. Each CUDA thread is a fiber; the threads of a block take turns on one OS thread and change
// at barriers and warp collectives only. A kernel that breaks CUDA's rules ends the program with a message that names
// the rule, the kernel, the block, the thread and the line.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <type_traits>

#include "kernels/emulation/vector_types.h"

namespace sr::emulation {

// Where a device function was called. A default argument CallSite::current() is evaluated at the caller.
// (std::source_location needs a newer clang than 14.)
struct CallSite {
  const char* file = nullptr;
  int line = 0;
  static constexpr CallSite current(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

// What threadIdx and its like refer to, for the CUDA thread that runs now on this OS thread. Null outside of kernels.
//
// A pointer, because gcc's check for null (UndefinedBehaviorSanitizer) of the address of a thread_local object is
// wrong: it uses flags of an addition that the linker replaces by one without flags.
struct Coordinates {
  uint3 thread, block;
  dim3 block_size, grid_size;
};
extern constinit thread_local const Coordinates* coordinates;

// One kernel launch with its arguments bound: body runs one CUDA thread.
struct Launch {
  const char* kernel_name;
  CallSite site;
  const void* function;
  dim3 grid, block;
  size_t dynamic_shared;  // bytes
  std::function<void()> body;
};

// Fails if CUDA would refuse the launch.
void check_launch(const Launch& launch);

// Runs all blocks, in the order and on as many OS threads as the settings say.
void run_grid(const Launch& launch);

// Most dynamic shared memory that a kernel may be launched with (cudaFuncSetAttribute), and the static shared memory
// that its launches were seen to use, in bytes.
void set_dynamic_shared_limit(const void* function, size_t bytes);
size_t dynamic_shared_limit(const void* function);
size_t static_shared_seen(const void* function);

// Ends the program. Inside a kernel the message says who called it.
[[noreturn]] void fail(const std::string& message, CallSite site = {});

// ---- What device functions are made of. For the running CUDA thread only. ----

unsigned lane();

// Waits until all threads of the block that have not exited are here.
void block_barrier(CallSite site);
// The same, and returns how many of them came with a true predicate.
unsigned block_barrier_count(bool predicate, CallSite site);

// A warp collective: every lane of the mask leaves a value and sees those of the others.
struct alignas(16) Deposit {
  static constexpr size_t kBytes = 64;
  unsigned char bytes[kBytes];
};
struct Collective {
  const char* name;    // lanes that meet must have called the same function
  bool orders_memory;  // __syncwarp does, shuffles do not
};
struct Exchanged {
  const Deposit* lanes;  // all 32; valid until the calling thread waits again
  uint32_t mask;         // without lanes that the block does not have
};
Exchanged exchange(uint32_t mask, const Deposit& mine, Collective collective, CallSite site);

template <class T>
class Deposits {
 public:
  Deposits(uint32_t mask, const T& mine, const char* name, CallSite site) {
    static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= Deposit::kBytes);
    Deposit deposit = {};
    std::memcpy(deposit.bytes, &mine, sizeof(T));
    exchanged_ = exchange(mask, deposit, {name, false}, site);
  }
  bool has(unsigned lane) const { return exchanged_.mask >> lane & 1; }
  T operator[](unsigned lane) const {
    T value;
    std::memcpy(&value, exchanged_.lanes[lane].bytes, sizeof(T));
    return value;
  }

 private:
  Exchanged exchanged_;
};

// Shared memory of the running block. Arrays are NaN (all bits set) when the block starts. Around them lies memory that
// is NaN as well, poisoned under AddressSanitizer, and checked for having been written when the block ends.
void* shared_array(const void* key, size_t bytes, const char* name);
void* dynamic_shared_memory();
bool is_shared_memory(const void* p, size_t bytes);

// A fence among all threads: __threadfence.
void memory_fence();

}  // namespace sr::emulation
