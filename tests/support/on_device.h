// Arrays of a test in device memory (tests/support/cuda_test_api.h says of which device).
#pragma once

#include <cstring>
#include <vector>

#include "kernels/emulation/settings.h"
#include "tests/support/catch.h"
#include "tests/support/cuda_test_api.h"

namespace sr {

// Device memory with the host's contents, NaN behind them so that what reads too far shows.
template <class T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& host) : n_(static_cast<int64_t>(host.size())) {
    void* p = nullptr;
    REQUIRE(api().allocate(&p, n_ * int64_t{sizeof(T)} + 16) == cuda::Result::ok);
    data_ = static_cast<T*>(p);
    REQUIRE(api().upload(data_, host.data(), n_ * int64_t{sizeof(T)}, nullptr) == cuda::Result::ok);
  }
  OnDevice(const OnDevice&) = delete;
  ~OnDevice() { api().release(data_); }
  T* data() const { return data_; }
  std::vector<T> back() const {
    std::vector<T> host(static_cast<size_t>(n_));
    REQUIRE(api().download(host.data(), data_, n_ * int64_t{sizeof(T)}, nullptr) == cuda::Result::ok);
    REQUIRE(api().synchronize(nullptr) == cuda::Result::ok);
    return host;
  }

 private:
  T* data_ = nullptr;
  int64_t n_;
};

// f() in three orders of the emulation's blocks and threads: the same bits. f gives a row of numbers.
template <class F>
void check_orders(F f) {
  const auto first = f();
  for (const emulation::Order order : {emulation::Order::reverse, emulation::Order::random}) {
    emulation::settings().order = order;
    const auto other = f();
    REQUIRE(other.size() == first.size());
    CHECK(std::memcmp(other.data(), first.data(), first.size() * sizeof first[0]) == 0);
  }
  emulation::settings().order = emulation::Order::forward;
}

}  // namespace sr
