// Which backend runs: the GPU where one is wanted and there, else the host.
#include "engine/backend.h"

#include <fmt/format.h>

#include "engine/cuda_backend.h"
#include "engine/cuda_plugin.h"
#include "engine/host_backend.h"

namespace sr {
namespace {

std::vector<int> gpus_to_use(const BackendOptions& options) {
  std::string why_not;
  const std::vector<CudaDevice> there = cuda_devices(&why_not);
  if (there.empty()) throw Error(Status::device_trouble, why_not);
  if (options.gpus.empty()) return {there.front().index};
  for (const int asked : options.gpus)
    if (std::none_of(there.begin(), there.end(), [&](const CudaDevice& d) { return d.index == asked; }))
      throw Error(Status::device_trouble,
                  fmt::format("there is no usable GPU {}; `srengine backends` lists them", asked));
  return options.gpus;
}

}  // namespace

std::unique_ptr<Backend> make_backend(const Mdcsrn& network, const BackendOptions& options) {
  if (options.kind == BackendKind::ref || options.device == DeviceKind::cpu) return make_host_backend(network, options);
  std::string why_not;
  if (options.device == DeviceKind::automatic && !cuda_plugin_is_installed())
    return make_host_backend(network, options);
  try {
    const std::vector<int> gpus = gpus_to_use(options);
    return make_cuda_backend(*cuda_plugin(nullptr), network, options, gpus);
  } catch (const Error& e) {
    if (options.device == DeviceKind::cuda)
      throw Error(e.status, fmt::format("no GPU can be used: {}; --device cpu does without", e.what()));
    why_not = e.what();
  }
  std::unique_ptr<Backend> backend = make_host_backend(network, options);
  backend->why_not_gpu = why_not;
  return backend;
}

}  // namespace sr
