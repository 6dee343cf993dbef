// In a file of its own: inlined into their callers, gcc takes these operators for a mismatch of new and free. The whole
// family is replaced, because the address sanitizer brings its own of every form that is missing here.
#include "tests/support/largest_request.h"

#include <cstdlib>
#include <new>

namespace sr::test {
std::atomic<size_t> largest_request{0};
std::atomic<size_t> all_requests{0};
}  // namespace sr::test

void* operator new(size_t n, const std::nothrow_t&) noexcept {
  sr::test::all_requests += n;
  size_t seen = sr::test::largest_request.load();
  while (n > seen && !sr::test::largest_request.compare_exchange_weak(seen, n)) {
  }
  return std::malloc(n > 0 ? n : 1);
}
void* operator new(size_t n) {
  if (void* p = operator new(n, std::nothrow)) return p;
  throw std::bad_alloc();
}
void* operator new[](size_t n) {
  return operator new(n);
}
void* operator new[](size_t n, const std::nothrow_t&) noexcept {
  return operator new(n, std::nothrow);
}

void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, size_t) noexcept {
  std::free(p);
}
void operator delete(void* p, const std::nothrow_t&) noexcept {
  std::free(p);
}
void operator delete[](void* p) noexcept {
  std::free(p);
}
void operator delete[](void* p, size_t) noexcept {
  std::free(p);
}
void operator delete[](void* p, const std::nothrow_t&) noexcept {
  std::free(p);
}
