#include "engine/training/training_engine.h"

#include <fmt/format.h>

#include "engine/backends/cuda_plugin.h"
#include "engine/base/status.h"
#include "engine/training/device_engine.h"
#include "engine/training/host_engine.h"

namespace sr::train {
namespace {

int usable_gpu(const TrainingOptions& options) {
  try {
    std::string why_not;
    const std::vector<CudaDevice> devices = cuda_devices(&why_not);
    if (options.gpu < 0 && !devices.empty())
      return devices[static_cast<size_t>(options.local_rank) % devices.size()].index;
    return usable_gpus(options.gpu < 0 ? std::vector<int>{} : std::vector<int>{options.gpu}).front();
  } catch (const Error& e) {
    throw Error(e.status, fmt::format("no training on a GPU: {}; --device cpu trains on the CPU", e.what()));
  }
}

}  // namespace

std::unique_ptr<TrainingEngine> make_training_engine(const Weights& weights, const TrainingOptions& options,
                                                     Collective& collective) {
  if (options.kind == BackendKind::ref || options.device == DeviceKind::cpu)
    return make_host_engine(weights, options, collective);
  std::string why_not;
  if (options.device == DeviceKind::automatic && cuda_devices(&why_not).empty())
    return make_host_engine(weights, options, collective);
  const int gpu = usable_gpu(options);
  return make_device_engine(*cuda_plugin(&why_not), gpu, weights, options, collective);
}

}  // namespace sr::train
