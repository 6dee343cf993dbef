#include "kernels/cuda/nccl_library.h"

#include <cstdio>

#if defined(__CUDACC__) || defined(__CUDA__)
#include "kernels/cuda/shared_library.h"
#endif

namespace sr::cuda {

#if defined(__CUDACC__) || defined(__CUDA__)
namespace {

struct Loaded {
  NcclLibrary table{};
  bool complete = false;
  char why_not[256] = "";
};

Loaded load() {
  Loaded loaded;
  constexpr const char* file = "libnccl.so.2";
  SharedLibrary library(loaded.why_not);
  if (!library.open(file)) {
    std::snprintf(loaded.why_not, sizeof loaded.why_not,
                  "NVIDIA's NCCL (%s, package libnccl2) is not where the dynamic linker looks", file);
    return loaded;
  }
  NcclLibrary& t = loaded.table;
  loaded.complete = library.find(t.get_unique_id, "ncclGetUniqueId") && library.find(t.init_rank, "ncclCommInitRank") &&
                    library.find(t.all_reduce, "ncclAllReduce") && library.find(t.destroy, "ncclCommDestroy") &&
                    library.find(t.error_string, "ncclGetErrorString");
  return loaded;
}

}  // namespace

const NcclLibrary* nccl_library(const char** why_not) {
  static const Loaded loaded = load();
  *why_not = loaded.why_not;
  return loaded.complete ? &loaded.table : nullptr;
}
#else
static_assert(kNcclSuccess == ncclSuccess && kNcclFloat == ncclFloat && kNcclDouble == ncclDouble);

const NcclLibrary* nccl_library(const char** why_not) {
  static constexpr NcclLibrary table = {.get_unique_id = ncclGetUniqueId,
                                        .init_rank = ncclCommInitRank,
                                        .all_reduce = ncclAllReduce,
                                        .destroy = ncclCommDestroy,
                                        .error_string = ncclGetErrorString};
  *why_not = "";
  return &table;
}
#endif

}  // namespace sr::cuda
