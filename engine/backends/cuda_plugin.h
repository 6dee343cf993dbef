// The CUDA plugin (libsrengine_cuda.so, kernels/cuda/api.h), loaded when it is first asked for. A program without it,
// or on a machine without GPU, driver or toolkit, goes on with the CPU.
#pragma once

#include <string>
#include <vector>

#include "kernels/cuda/api.h"

namespace sr {

// The plugin's table, or null and one clause that says why not ("there is no NVIDIA driver on this machine"). Looked
// for where SRENGINE_CUDA_PLUGIN says (a file; "none" for no plugin), else beside the program, in ../lib/srengine of
// it, and where the dynamic linker looks. Asked again, it gives the same answer. From any thread.
const cuda::Api* cuda_plugin(std::string* why_not);

// Whether there is a plugin to speak of, usable or not: where there is none, nobody expects a GPU to be used.
bool cuda_plugin_is_installed();

struct CudaDevice {
  int index;
  cuda::DeviceInfo info;
};

// The GPUs that the plugin can use. Empty where there are none; why_not then has a clause.
std::vector<CudaDevice> cuda_devices(std::string* why_not);

// Indices of the GPUs to work on: those asked for, or the first one where none are. Throws Error{resource_error} where
// one of them cannot be used, or none can.
std::vector<int> usable_gpus(const std::vector<int>& asked);

}  // namespace sr
