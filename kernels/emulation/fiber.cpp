#include "kernels/emulation/fiber.h"

#include <sys/mman.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include "kernels/emulation/sanitizers.h"

#ifndef SR_EMULATION_UCONTEXT
// void sr_emulation_switch_stack(void** save_stack_pointer, void* load_stack_pointer)
// Pushes the registers that the System V ABI lets the callee keep, exchanges the stacks, pops them from the other one.
// For a fresh stack the last instruction "returns" into the entry function.
extern "C" void sr_emulation_switch_stack(void** save_stack_pointer, void* load_stack_pointer);
asm(R"(
  .text
  .p2align 4
  .globl sr_emulation_switch_stack
  .hidden sr_emulation_switch_stack
  .type sr_emulation_switch_stack, @function
sr_emulation_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
  .size sr_emulation_switch_stack, .-sr_emulation_switch_stack
)");
#endif

namespace sr::emulation {
namespace {

// Only touched pages cost memory. Instrumented kernels with unrolled loops have frames of tens of kB.
constexpr size_t kStackBytes = 256 << 10;
constexpr size_t kGuardBytes = 64 << 10;  // no access: an overflow is a fault, not another thread's variables

constexpr size_t kCacheLine = 64;

// Whom the fiber that runs now was switched to from.
constinit thread_local Fiber* g_came_from = nullptr;

}  // namespace

Fiber::~Fiber() {
  if (!stack_) return;
#ifdef SR_EMULATION_TSAN
  __tsan_destroy_fiber(tsan_fiber_);
#endif
  unpoison(stack_, kStackBytes);
  munmap(stack_ - kGuardBytes, kStackBytes + kGuardBytes);
}

void Fiber::start_at(void (*entry)()) {
  if (!stack_) {
    void* mapping = mmap(nullptr, kStackBytes + kGuardBytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (mapping == MAP_FAILED || mprotect(mapping, kGuardBytes, PROT_NONE) != 0) {
      std::perror("emulation: stack of a CUDA thread");
      std::abort();
    }
    stack_ = static_cast<char*>(mapping) + kGuardBytes;
    static std::atomic<size_t> n_stacks = 0;
    cache_offset_ = n_stacks++ % 61 * kCacheLine * 5;
    stack_bottom_ = stack_;
    stack_bytes_ = kStackBytes;
#ifdef SR_EMULATION_TSAN
    tsan_fiber_ = __tsan_create_fiber(0);
#endif
  }
#ifdef SR_EMULATION_UCONTEXT
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = kStackBytes;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
#else
  void** top = reinterpret_cast<void**>(stack_ + kStackBytes - cache_offset_);
  *--top = nullptr;  // where entry would return to; also leaves the stack aligned as after a call
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; i++) *--top = nullptr;  // the registers
  stack_pointer_ = top;
#endif
}

void Fiber::adopt_os_thread() {
#ifdef SR_EMULATION_TSAN
  tsan_fiber_ = __tsan_get_current_fiber();
#endif
}

void Fiber::jump(Fiber& from, Fiber& to) {
  g_came_from = &from;
#ifdef SR_EMULATION_TSAN
  __tsan_switch_to_fiber(to.tsan_fiber_, __tsan_switch_to_fiber_no_sync);  // taking turns orders nothing
#endif
#ifdef SR_EMULATION_UCONTEXT
  swapcontext(&from.context_, &to.context_);
#else
  sr_emulation_switch_stack(&from.stack_pointer_, to.stack_pointer_);
#endif
}

void Fiber::switch_between(Fiber& from, Fiber& to) {
#ifdef SR_EMULATION_ASAN
  __sanitizer_start_switch_fiber(&from.asan_fake_stack_, to.stack_bottom_, to.stack_bytes_);
#endif
  jump(from, to);
#ifdef SR_EMULATION_ASAN
  __sanitizer_finish_switch_fiber(from.asan_fake_stack_, &g_came_from->stack_bottom_, &g_came_from->stack_bytes_);
#endif
}

void Fiber::leave_for_good(Fiber& from, Fiber& to) {
#ifdef SR_EMULATION_ASAN
  __sanitizer_start_switch_fiber(nullptr, to.stack_bottom_, to.stack_bytes_);
#endif
  jump(from, to);
  std::abort();
}

void Fiber::arrived() {
#ifdef SR_EMULATION_ASAN
  // Also how the bounds of the OS thread's stack become known.
  __sanitizer_finish_switch_fiber(nullptr, &g_came_from->stack_bottom_, &g_came_from->stack_bytes_);
#endif
}

}  // namespace sr::emulation
