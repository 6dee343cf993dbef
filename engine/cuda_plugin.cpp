#include "engine/cuda_plugin.h"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <mutex>

#include "engine/status.h"

namespace sr {
namespace {

namespace fs = std::filesystem;

#ifndef SRENGINE_CUDA_STATIC
constexpr const char* library_name = "libsrengine_cuda.so";

// Files to try, in this order.
std::vector<fs::path> candidates() {
  if (const char* named = std::getenv("SRENGINE_CUDA_PLUGIN")) return {named};
  std::vector<fs::path> files;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    files.push_back(program.parent_path() / library_name);
    files.push_back(program.parent_path().parent_path() / "lib/srengine" / library_name);
  }
  files.emplace_back(library_name);
  return files;
}
#endif

struct Plugin {
  const cuda::Api* api = nullptr;
  bool installed = true;
  std::string why_not;
};

#ifdef SRENGINE_CUDA_STATIC
Plugin load() {
  Plugin plugin;
  plugin.api = srengine_cuda_api(cuda::api_version);
  return plugin;
}
#else
Plugin load() {
  Plugin plugin;
  for (const fs::path& file : candidates()) {
    if (file == "none") {
      plugin.installed = false;
      plugin.why_not = "SRENGINE_CUDA_PLUGIN says none";
      return plugin;
    }
    std::error_code error;
    if (file.has_parent_path() && !fs::exists(file, error)) {
      plugin.why_not = fmt::format("{} does not exist", file.string());
      continue;
    }
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);  // stays: its code may be in use until the end
    if (!library) {
      plugin.why_not = fmt::format("{} cannot be loaded", library_name);
      if (file.has_parent_path()) plugin.why_not += fmt::format(": {}", dlerror());
      continue;
    }
    const auto entry = reinterpret_cast<const cuda::Api* (*)(int)>(dlsym(library, "srengine_cuda_api"));
    plugin.api = entry ? entry(cuda::api_version) : nullptr;
    if (plugin.api) return plugin;
    plugin.why_not = fmt::format("{} belongs to another version of srengine", file.string());
    dlclose(library);
  }
  if (!std::getenv("SRENGINE_CUDA_PLUGIN")) {
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

std::vector<int> usable_gpus(const std::vector<int>& asked) {
  std::string why_not;
  const std::vector<CudaDevice> there = cuda_devices(&why_not);
  if (there.empty()) throw Error(Status::device_trouble, why_not);
  if (asked.empty()) return {there.front().index};
  for (const int gpu : asked)
    if (std::none_of(there.begin(), there.end(), [&](const CudaDevice& d) { return d.index == gpu; }))
      throw Error(Status::device_trouble,
                  fmt::format("there is no usable GPU {}; `srengine backends` lists them", gpu));
  return asked;
}

}  // namespace sr
