// Memory for features and scratch: zero at the start, aligned to 64 bytes at least, in 2 MiB pages where the system has
// them. A patch of b8u4 takes 800 MB; in 4 KiB pages, walking its channels would miss the TLB at every step.
#pragma once

#include <cstddef>
#include <utility>

namespace sr {

class HugeBuffer {
 public:
  HugeBuffer() = default;
  // Throws std::bad_alloc where the memory is refused. Pages that are never touched cost nothing.
  explicit HugeBuffer(size_t n_elements);
  ~HugeBuffer();
  HugeBuffer(HugeBuffer&& other) noexcept { swap(other); }
  HugeBuffer& operator=(HugeBuffer&& other) noexcept {
    swap(other);
    return *this;
  }
  float* data() { return data_; }
  const float* data() const { return data_; }
  size_t size() const { return size_; }  // elements asked for

 private:
  void swap(HugeBuffer& other) {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(n_bytes_, other.n_bytes_);
  }
  float* data_ = nullptr;
  size_t size_ = 0, n_bytes_ = 0;
};

}  // namespace sr
