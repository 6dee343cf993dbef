// The table of CUDA operations under test: the emulation's, or with SRENGINE_TEST_GPU set, a real GPU's.
#pragma once

#include <cstdlib>
#include <stdexcept>

#include "engine/backends/cuda_plugin.h"
#include "kernels/cuda/api.h"

namespace sr {

// Whether tests may change the device (kernels/emulation/settings.h).
inline bool device_is_emulated() {
  return !std::getenv("SRENGINE_TEST_GPU");
}

inline const cuda::Api& api() {
  static const cuda::Api& table = []() -> const cuda::Api& {
    if (!std::getenv("SRENGINE_TEST_GPU")) return *srengine_cuda_api(cuda::kApiVersion);
    std::string why_not;
    const cuda::Api* plugin = cuda_plugin(&why_not);
    if (!plugin || cuda_devices(&why_not).empty()) throw std::runtime_error("SRENGINE_TEST_GPU: " + why_not);
    return *plugin;
  }();
  return table;
}

}  // namespace sr
