#include "kernels/cuda/cufft_library.h"

#include <algorithm>
#include <cstdio>
#include <type_traits>

#if defined(__CUDACC__) || defined(__CUDA__)
#include "kernels/cuda/shared_library.h"
#else
#include "kernels/emulation/settings.h"
#endif

namespace sr::cuda {

// The table's types are written out; these say that they are the header's.
static_assert(std::is_same_v<decltype(CufftLibrary::create), decltype(&cufftCreate)>);
static_assert(std::is_same_v<decltype(CufftLibrary::destroy), decltype(&cufftDestroy)>);
static_assert(std::is_same_v<decltype(CufftLibrary::set_auto_allocation), decltype(&cufftSetAutoAllocation)>);
static_assert(std::is_same_v<decltype(CufftLibrary::make_plan_many), decltype(&cufftMakePlanMany)>);
static_assert(std::is_same_v<decltype(CufftLibrary::set_work_area), decltype(&cufftSetWorkArea)>);
static_assert(std::is_same_v<decltype(CufftLibrary::set_stream), decltype(&cufftSetStream)>);
static_assert(std::is_same_v<decltype(CufftLibrary::exec_c2c), decltype(&cufftExecC2C)>);

#if defined(__CUDACC__) || defined(__CUDA__)
namespace {

// Files to try, in this order: the major version that the plugin was built with, then those of CUDA 13 and 12, then
// what a toolkit calls it.
#define SR_TEXT_OF(x) #x
#define SR_TEXT(x) SR_TEXT_OF(x)
constexpr const char* kCandidates[] = {"libcufft.so." SR_TEXT(CUFFT_VER_MAJOR), "libcufft.so.12", "libcufft.so.11",
                                       "libcufft.so"};

struct Loaded {
  CufftLibrary table{};
  bool complete = false;
  char why_not[256] = "";
};

Loaded load() {
  Loaded loaded;
  SharedLibrary library(loaded.why_not);
  if (std::ranges::none_of(kCandidates, [&](const char* file) { return library.open(file); })) {
    std::snprintf(loaded.why_not, sizeof loaded.why_not,
                  "NVIDIA's FFT library (%s, part of the CUDA Toolkit) is not where the dynamic linker looks",
                  kCandidates[0]);
    return loaded;
  }
  CufftLibrary& t = loaded.table;
  loaded.complete = library.find(t.create, "cufftCreate") && library.find(t.destroy, "cufftDestroy") &&
                    library.find(t.set_auto_allocation, "cufftSetAutoAllocation") &&
                    library.find(t.make_plan_many, "cufftMakePlanMany") &&
                    library.find(t.set_work_area, "cufftSetWorkArea") && library.find(t.set_stream, "cufftSetStream") &&
                    library.find(t.exec_c2c, "cufftExecC2C");
  return loaded;
}

}  // namespace

const CufftLibrary* cufft_library(const char** why_not) {
  static const Loaded loaded = load();
  *why_not = loaded.why_not;
  return loaded.complete ? &loaded.table : nullptr;
}
#else
const CufftLibrary* cufft_library(const char** why_not) {
  static constexpr CufftLibrary table = {.create = cufftCreate,
                                         .destroy = cufftDestroy,
                                         .set_auto_allocation = cufftSetAutoAllocation,
                                         .make_plan_many = cufftMakePlanMany,
                                         .set_work_area = cufftSetWorkArea,
                                         .set_stream = cufftSetStream,
                                         .exec_c2c = cufftExecC2C};
  *why_not = "the emulation was told to have no cuFFT";
  return emulation::settings().cufft ? &table : nullptr;
}
#endif

}  // namespace sr::cuda
