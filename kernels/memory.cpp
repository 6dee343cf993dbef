#include "kernels/memory.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

namespace sr {

#if defined(__SANITIZE_ADDRESS__)
// From the heap, where AddressSanitizer sees what runs past the end.
HugeBuffer::HugeBuffer(size_t n_elements) : size_(n_elements), n_bytes_((n_elements * sizeof(float) + 63) / 64 * 64) {
  if (n_elements == 0) return;
  data_ = static_cast<float*>(std::aligned_alloc(64, n_bytes_));
  if (!data_) throw std::bad_alloc();
  std::memset(data_, 0, n_bytes_);
}

HugeBuffer::~HugeBuffer() {
  std::free(data_);
}
#else
HugeBuffer::HugeBuffer(size_t n_elements) : size_(n_elements) {
  if (n_elements == 0) return;
  constexpr size_t kPage = size_t{2} << 20;
  if (n_elements > (SIZE_MAX - 2 * kPage) / sizeof(float)) throw std::bad_alloc();
  n_bytes_ = (n_elements * sizeof(float) + kPage - 1) / kPage * kPage;

  // One page more than needed, then the ends cut off: mmap itself aligns to 4 KiB only.
  void* raw = mmap(nullptr, n_bytes_ + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (raw == MAP_FAILED) throw std::bad_alloc();
  char* const begin = static_cast<char*>(raw);
  const size_t before = (kPage - reinterpret_cast<uintptr_t>(begin) % kPage) % kPage;
  if (before > 0) munmap(begin, before);
  if (before < kPage) munmap(begin + before + n_bytes_, kPage - before);
  madvise(begin + before, n_bytes_, MADV_HUGEPAGE);  // a wish: without it everything works, slower
  data_ = reinterpret_cast<float*>(begin + before);
}

HugeBuffer::~HugeBuffer() {
  if (data_) munmap(data_, n_bytes_);
}
#endif

}  // namespace sr
