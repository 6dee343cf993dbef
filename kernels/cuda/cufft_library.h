// cuFFT without linking it: the plugin works on machines that have a driver and no toolkit, where only what needs the
// library is refused. Types and constants are those of the cufft.h that the plugin is built with; the few functions
// below have had the same signatures and values since CUDA 6.5.
#pragma once

#include <cstddef>

#if defined(__CUDACC__) || defined(__CUDA__)
#include <cufft.h>
#else
#include "kernels/emulation/cufft_types.h"
#endif

namespace sr::cuda {

struct CufftLibrary {
  cufftResult (*create)(cufftHandle* plan);
  cufftResult (*destroy)(cufftHandle plan);
  cufftResult (*set_auto_allocation)(cufftHandle plan, int allocate);
  cufftResult (*make_plan_many)(cufftHandle plan, int rank, int* n, int* inembed, int istride, int idist, int* onembed,
                                int ostride, int odist, cufftType type, int batch, size_t* work_bytes);
  cufftResult (*set_work_area)(cufftHandle plan, void* work);
  cufftResult (*set_stream)(cufftHandle plan, cudaStream_t stream);
  cufftResult (*exec_c2c)(cufftHandle plan, cufftComplex* in, cufftComplex* out, int direction);
};

// The library, opened when it is first asked for, or null and one clause that says why not. From any thread. In the
// plugin it is NVIDIA's; under emulation a stand-in (kernels/emulation/cufft.cpp).
const CufftLibrary* cufft_library(const char** why_not);

}  // namespace sr::cuda
