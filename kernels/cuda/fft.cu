#include "kernels/cuda/fft.h"

#include <cstdint>
#include <cstdio>

#include "kernels/cuda/check.h"
#include "kernels/cuda/cufft_library.h"

namespace sr::cuda {
namespace {

// A number is all that cuFFT gives; the names are cufft.h's.
Result check_fft(cufftResult result, const char* what) {
  if (result == CUFFT_SUCCESS) return Result::ok;
  const char* why = result == CUFFT_INVALID_PLAN     ? "the plan is not valid"
                    : result == CUFFT_ALLOC_FAILED   ? "out of memory"
                    : result == CUFFT_INVALID_VALUE  ? "a value is not valid"
                    : result == CUFFT_INTERNAL_ERROR ? "an internal error"
                    : result == CUFFT_EXEC_FAILED    ? "the transform could not be executed"
                    : result == CUFFT_SETUP_FAILED   ? "it could not be initialised"
                    : result == CUFFT_INVALID_SIZE   ? "it does not offer this size"
                                                     : "an error";
  char sentence[128];
  std::snprintf(sentence, sizeof sentence, "%s (cuFFT error %d)", why, static_cast<int>(result));
  fail(what, sentence);
  return result == CUFFT_ALLOC_FAILED ? Result::out_of_memory : Result::failed;
}

// Looked up again, not kept: a pointer into the table is all it costs.
const CufftLibrary& cufft() {
  const char* why_not = nullptr;
  return *cufft_library(&why_not);
}

// A plan travels as a pointer that is its handle plus 1: a handle may be 0, and null is no plan.
Fft from_handle(cufftHandle handle) {
  return reinterpret_cast<Fft>(static_cast<intptr_t>(handle) + 1);
}
cufftHandle handle_of(Fft plan) {
  return static_cast<cufftHandle>(reinterpret_cast<intptr_t>(plan) - 1);
}

}  // namespace

const char* fft_missing() {
  const char* why_not = nullptr;
  return cufft_library(&why_not) ? nullptr : why_not;
}

Result plan_fft(int length, int count, LineOrder order, Fft* plan, int64_t* n_work_bytes) {
  constexpr const char* what = "planning Fourier transforms";
  cufftHandle handle = 0;
  if (const Result r = check_fft(cufft().create(&handle), what); r != Result::ok) return r;
  // Sample s of line l is data[l * distance + s * stride]. In one dimension cuFFT reads of inembed and onembed only
  // that they are not null; null would mean rows whatever the strides say.
  const int stride = order == LineOrder::rows ? 1 : count;
  const int distance = order == LineOrder::rows ? length : 1;
  size_t bytes = 0;
  Result r = check_fft(cufft().set_auto_allocation(handle, 0), what);
  if (r == Result::ok)
    r = check_fft(cufft().make_plan_many(handle, 1, &length, &length, stride, distance, &length, stride, distance,
                                         CUFFT_C2C, count, &bytes),
                  what);
  if (r != Result::ok) {
    cufft().destroy(handle);
    return r;
  }
  *plan = from_handle(handle);
  *n_work_bytes = static_cast<int64_t>(bytes);
  return Result::ok;
}

Result run_fft(Fft plan, Complex* block, bool inverse, void* work, Stream stream) {
  constexpr const char* what = "a Fourier transform";
  const cufftHandle handle = handle_of(plan);
  auto* data = reinterpret_cast<cufftComplex*>(block);
  Result r = check_fft(cufft().set_stream(handle, stream), what);
  if (r == Result::ok) r = check_fft(cufft().set_work_area(handle, work), what);
  if (r == Result::ok)
    r = check_fft(cufft().exec_c2c(handle, data, data, inverse ? CUFFT_INVERSE : CUFFT_FORWARD), what);
  return r;
}

void destroy_fft(Fft plan) {
  cufft().destroy(handle_of(plan));
}

}  // namespace sr::cuda
