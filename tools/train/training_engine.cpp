#include "tools/train/training_engine.h"

#include "engine/cuda_plugin.h"
#include "tools/train/device_engine.h"
#include "tools/train/host_engine.h"

namespace sr::train {

std::unique_ptr<TrainingEngine> make_training_engine(const Weights& weights, const TrainingOptions& options,
                                                     Collective& collective) {
  if (options.kind == BackendKind::ref || options.device == DeviceKind::cpu)
    return make_host_engine(weights, options, collective);
  std::string why_not;
  if (options.device == DeviceKind::automatic && cuda_devices(&why_not).empty())
    return make_host_engine(weights, options, collective);
  const std::vector<int> asked =
      options.device == DeviceKind::cuda ? std::vector<int>{options.gpu} : std::vector<int>{};
  const int gpu = usable_gpus(asked).front();
  return make_device_engine(*cuda_plugin(&why_not), gpu, weights, options, collective);
}

}  // namespace sr::train
