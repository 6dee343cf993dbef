// How a call of CUDA becomes a Result and the sentence of last_error() (kernels/cuda/runtime.h).
#pragma once

#include "kernels/cuda/portability.h"
#include "kernels/cuda/types.h"

namespace sr::cuda {

// last_error() is "what: why" from here on. Returns Result::failed.
Result fail(const char* what, const char* why);

Result check(cudaError_t error, const char* what);

// The end of every function that launches kernels: whether they were taken.
inline Result launched(const char* what) {
  return check(cudaGetLastError(), what);
}

}  // namespace sr::cuda
