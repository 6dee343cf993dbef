// Which backend runs: the GPU where one is wanted and there, else the host.
#include "engine/backends/backend.h"

#include <fmt/format.h>

#include "engine/backends/cuda_backend.h"
#include "engine/backends/cuda_plugin.h"
#include "engine/backends/host_backend.h"

namespace sr {
namespace {

// DeviceKind::automatic on a GPU: where that gives up in the middle, the host does the work from there on.
class GpuElseHost : public Backend {
 public:
  GpuElseHost(std::unique_ptr<Backend> gpu, const Network& network, const BackendOptions& options)
      : running_(std::move(gpu)), network_(network), options_(options) {}

  void restore(const RestoreJob& job, Volume& output) override {
    try {
      return running_->restore(job, output);
    } catch (const Error& e) {
      if (e.status != Status::resource_error || !why_not_gpu.empty()) throw;
      why_not_gpu = e.what();
    }
    running_ = make_host_backend(network_, options_);  // the GPU gets its memory back
    running_->restore(job, output);
  }
  std::string describe() const override { return running_->describe(); }
  int threads() const override { return running_->threads(); }
  int batch() const override { return running_->batch(); }
  int64_t buffer_bytes() const override { return running_->buffer_bytes(); }
  std::vector<LayerTime> time_layers(int repeats) override { return running_->time_layers(repeats); }
  std::optional<DeviceLimits> limits() override { return running_->limits(); }

 private:
  std::unique_ptr<Backend> running_;
  const Network& network_;
  BackendOptions options_;
};

}  // namespace

std::unique_ptr<Backend> make_backend(const Network& network, const BackendOptions& options) {
  if (options.kind == BackendKind::ref || options.device == DeviceKind::cpu) return make_host_backend(network, options);
  std::string why_not;
  if (options.device == DeviceKind::automatic && !cuda_plugin_is_installed())
    return make_host_backend(network, options);
  try {
    const std::vector<int> gpus = usable_gpus(options.gpus);
    std::unique_ptr<Backend> gpu = make_cuda_backend(*cuda_plugin(nullptr), network, options, gpus);
    if (options.device == DeviceKind::cuda) return gpu;
    return std::make_unique<GpuElseHost>(std::move(gpu), network, options);
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
