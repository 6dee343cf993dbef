// The network on NVIDIA GPUs, through the table of kernels/cuda/api.h.
#pragma once

#include "engine/backends/backend.h"
#include "kernels/cuda/api.h"

namespace sr {

// devices: indices of the GPUs that share the patches, at least one. The network must outlive the backend. Throws
// Error{resource_error} where a device, its memory or a layer's shape stands in the way.
std::unique_ptr<Backend> make_cuda_backend(const cuda::Api& api, const Network& network, const BackendOptions& options,
                                           const std::vector<int>& devices);

}  // namespace sr
