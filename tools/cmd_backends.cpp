// srengine backends: what this machine can compute on, and why something is not there.
#include <fmt/core.h>

#include "engine/backends/backend.h"
#include "engine/backends/cuda_plugin.h"
#include "engine/base/machine.h"
#include "kernels/cpu_target.h"
#include "tools/commands.h"

namespace sr {
namespace {

void list() {
  fmt::print("cpu     {}, {} threads\n", cpu_target(), usable_processors());
  std::string why_not;
  const std::vector<CudaDevice> gpus = cuda_devices(&why_not);
  const cuda::Api* api = cuda_plugin(nullptr);
  for (const CudaDevice& gpu : gpus)
    fmt::print("cuda:{}  {}, compute capability {}.{}, {} multiprocessors, {:.1f} of {:.1f} GB free ({})\n", gpu.index,
               gpu.info.name, gpu.info.capability_major, gpu.info.capability_minor, gpu.info.n_multiprocessors,
               static_cast<double>(gpu.info.free_memory) / 1e9, static_cast<double>(gpu.info.total_memory) / 1e9,
               api->description());
  if (gpus.empty()) fmt::print("cuda    no: {}\n", why_not);
}

}  // namespace

void add_backends(CLI::App& app) {
  app.add_subcommand("backends", "List what this machine can compute on, and why something is not there")
      ->callback(list);
}

}  // namespace sr
