// In a file of its own: inlined into their callers, gcc takes these operators for a mismatch of new and free.
#include "tests/largest_request.h"

#include <cstdlib>
#include <new>

namespace sr::test {
std::atomic<size_t> largest_request{0};
}

void* operator new(size_t n) {
  size_t seen = sr::test::largest_request.load();
  while (n > seen && !sr::test::largest_request.compare_exchange_weak(seen, n)) {
  }
  if (void* p = std::malloc(n > 0 ? n : 1)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept {
  std::free(p);
}
void operator delete(void* p, size_t) noexcept {
  std::free(p);
}
