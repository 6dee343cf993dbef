#include "kernels/nccl_library.h"

#include <dlfcn.h>

#include <cstdio>
#include <type_traits>

namespace sr::cuda {
namespace {

struct Loaded {
  NcclLibrary table{};
  bool complete = false;
  char why_not[256] = "";
};

Loaded load() {
  Loaded loaded;
  constexpr const char* file = "libnccl.so.2";
  void* const library = dlopen(file, RTLD_NOW | RTLD_LOCAL);  // stays: its code may be in use until the end
  if (!library) {
    std::snprintf(loaded.why_not, sizeof loaded.why_not,
                  "NVIDIA's NCCL (%s, package libnccl2) is not where the dynamic linker looks", file);
    return loaded;
  }
  const auto find = [&](auto& function, const char* symbol) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(library, symbol));
    if (function) return true;
    std::snprintf(loaded.why_not, sizeof loaded.why_not, "%s has no %s", file, symbol);
    return false;
  };
  NcclLibrary& t = loaded.table;
  loaded.complete = find(t.get_unique_id, "ncclGetUniqueId") && find(t.init_rank, "ncclCommInitRank") &&
                    find(t.all_reduce, "ncclAllReduce") && find(t.destroy, "ncclCommDestroy") &&
                    find(t.error_string, "ncclGetErrorString");
  return loaded;
}

}  // namespace

const NcclLibrary* nccl_library(const char** why_not) {
  static const Loaded loaded = load();
  *why_not = loaded.why_not;
  return loaded.complete ? &loaded.table : nullptr;
}

}  // namespace sr::cuda
