#include "engine/backends/cuda_plugin.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <mutex>

#include "engine/base/plugin_files.h"
#include "engine/base/status.h"

namespace sr {
namespace {

namespace fs = std::filesystem;

struct Plugin {
  const cuda::Api* api = nullptr;
  bool installed = true;
  std::string why_not;
};

#ifdef SRENGINE_CUDA_STATIC
Plugin load() {
  Plugin plugin;
  plugin.api = srengine_cuda_api(cuda::kApiVersion);
  return plugin;
}
#else
Plugin load() {
  Plugin plugin;
  bool found = false;  // a file that should have been it
  for (const fs::path& file : plugin_files("SRENGINE_CUDA_PLUGIN", "libsrengine_cuda.so")) {
    if (file == "none") {
      plugin.installed = false;
      plugin.why_not = "SRENGINE_CUDA_PLUGIN says none";
      return plugin;
    }
    std::error_code error;
    if (file.has_parent_path() && !fs::exists(file, error)) {
      if (!found) plugin.why_not = fmt::format("{} does not exist", file.string());
      continue;
    }
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays: its code may be in use until the end
    const std::string error_text = library ? "" : dlerror();
    const auto entry =
        library ? reinterpret_cast<const cuda::Api* (*)(int)>(dlsym(library, "srengine_cuda_api")) : nullptr;
    plugin.api = entry ? entry(cuda::kApiVersion) : nullptr;
    if (plugin.api) return plugin;
    if (library) dlclose(library);
    if (found || (!library && !file.has_parent_path())) continue;  // the first one that is there says why
    found = true;
    plugin.why_not = library ? fmt::format("{} belongs to another version of srengine", file.string())
                             : fmt::format("{} cannot be loaded: {}", file.string(), error_text);
  }
  if (!found && !std::getenv("SRENGINE_CUDA_PLUGIN")) {
    plugin.installed = false;
    plugin.why_not = "this installation has no CUDA plugin";
  }
  return plugin;
}
#endif

const Plugin& the_plugin() {
  static const Plugin plugin = load();
  return plugin;
}

}  // namespace

const cuda::Api* cuda_plugin(std::string* why_not) {
  if (why_not) *why_not = the_plugin().why_not;
  return the_plugin().api;
}

bool cuda_plugin_is_installed() {
  return the_plugin().installed;
}

std::vector<CudaDevice> cuda_devices(std::string* why_not) {
  const cuda::Api* api = cuda_plugin(why_not);
  if (!api) return {};
  int n = 0;
  std::string reason = "there is no NVIDIA GPU";
  std::vector<CudaDevice> devices;
  if (api->device_count(&n) != cuda::Result::ok) {
    reason = api->last_error();
    n = 0;
  }
  for (int i = 0; i < n; i++) {
    CudaDevice device{i, {}};
    if (api->device_info(i, &device.info) == cuda::Result::ok && api->use_device(i) == cuda::Result::ok)
      devices.push_back(device);
    else
      reason = fmt::format("GPU {} cannot be used: {}", i, api->last_error());
  }
  if (devices.empty() && why_not) *why_not = reason;
  return devices;
}

// GPUs are tried in turn, and no more of them than needed: each one tried gets a context, with memory of its own.
std::vector<int> usable_gpus(const std::vector<int>& asked) {
  std::string why_not;
  const cuda::Api* api = cuda_plugin(&why_not);
  if (!api) throw Error(Status::resource_error, why_not);
  int n = 0;
  if (api->device_count(&n) != cuda::Result::ok) throw Error(Status::resource_error, api->last_error());
  if (n == 0) throw Error(Status::resource_error, "there is no NVIDIA GPU");
  for (const int gpu : asked)
    if (gpu < 0 || gpu >= n || api->use_device(gpu) != cuda::Result::ok)
      throw Error(Status::resource_error,
                  fmt::format("there is no usable GPU {}; `srengine backends` lists them", gpu));
  if (!asked.empty()) return asked;
  for (int gpu = 0; gpu < n; gpu++)
    if (api->use_device(gpu) == cuda::Result::ok) return {gpu};
  throw Error(Status::resource_error, api->last_error());
}

}  // namespace sr
