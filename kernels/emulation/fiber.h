// Execution contexts that take turns on one OS thread: every CUDA thread of a running block is one.
#pragma once

#include <cstddef>

#if !defined(__x86_64__) || !defined(__ELF__)
#define SR_EMULATION_UCONTEXT  // works everywhere, ten times slower: it saves the signal mask with a system call
#endif
#ifdef SR_EMULATION_UCONTEXT
#include <ucontext.h>
#endif

namespace sr::emulation {

class Fiber {
 public:
  Fiber() = default;
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // The next switch to this fiber calls entry on an empty stack. entry must not return. What ran on the stack before
  // is forgotten. The stack is allocated at the first call.
  void start_at(void (*entry)());

  // This fiber stands for the calling OS thread, on the stack that it has.
  void adopt_os_thread();

  // Leaves `from`, which is running, and continues `to`. Returns when somebody switches back to `from`.
  static void switch_between(Fiber& from, Fiber& to);
  // The same, but nobody will come back.
  [[noreturn]] static void leave_for_good(Fiber& from, Fiber& to);
  // The first thing that an entry function calls.
  static void arrived();

 private:
  static void jump(Fiber& from, Fiber& to);

#ifdef SR_EMULATION_UCONTEXT
  ucontext_t context_ = {};
#else
  void* stack_pointer_ = nullptr;
#endif
  char* stack_ = nullptr;  // null: the OS thread's own
  // Bytes left free at the top, different for neighbours: stacks all alike would compete for the same cache sets.
  size_t cache_offset_ = 0;
  // The sanitizers' view of it.
  const void* stack_bottom_ = nullptr;
  size_t stack_bytes_ = 0;
  [[maybe_unused]] void* asan_fake_stack_ = nullptr;
  [[maybe_unused]] void* tsan_fiber_ = nullptr;
};

}  // namespace sr::emulation
