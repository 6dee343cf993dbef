// Which backend runs: the GPU where one is wanted and there, else the host.
#include "engine/backend.h"

#include <fmt/format.h>

#include "engine/cuda_backend.h"
#include "engine/cuda_plugin.h"
#include "engine/host_backend.h"

namespace sr {

std::unique_ptr<Backend> make_backend(const Mdcsrn& network, const BackendOptions& options) {
  if (options.kind == BackendKind::ref || options.device == DeviceKind::cpu) return make_host_backend(network, options);
  std::string why_not;
  if (options.device == DeviceKind::automatic && !cuda_plugin_is_installed())
    return make_host_backend(network, options);
  try {
    const std::vector<int> gpus = usable_gpus(options.gpus);
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
