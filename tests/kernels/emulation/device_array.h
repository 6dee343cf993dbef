// Device memory for the emulation's tests.
#pragma once

#include <vector>

#include "kernels/cuda/portability.h"
#include "kernels/emulation/settings.h"
#include "tests/support/catch.h"

namespace sr::emulation {

// n elements of device memory, with copies to and from it.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t n) : n_(n) { REQUIRE(cudaMalloc(&data_, n * sizeof(T)) == cudaSuccess); }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) { set(values); }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  operator T*() const { return data_; }  // NOLINT: as a kernel argument
  T* data() const { return data_; }
  void set(const std::vector<T>& values) {
    REQUIRE(values.size() == n_);
    REQUIRE(cudaMemcpy(data_, values.data(), n_ * sizeof(T), cudaMemcpyHostToDevice) == cudaSuccess);
  }
  std::vector<T> get() const {
    std::vector<T> values(n_);
    REQUIRE(cudaMemcpy(values.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost) == cudaSuccess);
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t n_;
};

// Starts from the defaults, whatever the environment says, and puts the settings back when a test ends.
class SettingsForTest {
 public:
  SettingsForTest() : before_(settings()) { settings() = {}; }
  ~SettingsForTest() { settings() = before_; }
  SettingsForTest(const SettingsForTest&) = delete;
  SettingsForTest& operator=(const SettingsForTest&) = delete;
  Settings* operator->() { return &settings(); }

 private:
  Settings before_;
};

}  // namespace sr::emulation
