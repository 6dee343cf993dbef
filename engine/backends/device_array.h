// Memory of a GPU and the errors of its calls, for whatever works through the table of kernels/cuda/api.h.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/base/status.h"
#include "kernels/cuda/api.h"

namespace sr {

// A device that has no room for what was asked: something smaller may fit.
struct OutOfDeviceMemory : Error {
  explicit OutOfDeviceMemory(const std::string& sentence) : Error(Status::resource_error, sentence) {}
};

inline void require(const cuda::Api& api, cuda::Result result) {
  if (result == cuda::Result::out_of_memory) throw OutOfDeviceMemory(fmt::format("the GPU: {}", api.last_error()));
  if (result != cuda::Result::ok) throw Error(Status::resource_error, fmt::format("the GPU: {}", api.last_error()));
}

// Device memory for n elements. Allocated and released with its device in use.
template <class T>
class DeviceArray {
 public:
  DeviceArray() = default;
  DeviceArray(const cuda::Api& api, int64_t n) : api_(&api), n_(n) {
    void* p = nullptr;
    require(api, api.allocate(&p, std::max<int64_t>(n, 1) * int64_t{sizeof(T)}));
    data_ = static_cast<T*>(p);
  }
  DeviceArray(DeviceArray&& other) noexcept { *this = std::move(other); }
  DeviceArray& operator=(DeviceArray&& other) noexcept {
    std::swap(api_, other.api_);
    std::swap(data_, other.data_);
    std::swap(n_, other.n_);
    return *this;
  }
  ~DeviceArray() {
    if (data_) api_->release(data_);
  }
  T* data() const { return data_; }
  int64_t size() const { return n_; }

  void upload(const T* host, int64_t n, cuda::Stream stream) {
    require(*api_, api_->upload(data_, host, n * int64_t{sizeof(T)}, stream));
  }
  void download(T* host, int64_t n, cuda::Stream stream) const {
    require(*api_, api_->download(host, data_, n * int64_t{sizeof(T)}, stream));
  }

 private:
  const cuda::Api* api_ = nullptr;
  T* data_ = nullptr;
  int64_t n_ = 0;
};

}  // namespace sr
