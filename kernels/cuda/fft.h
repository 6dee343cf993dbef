// Discrete Fourier transforms of blocks of lines (kernels/cuda/kspace.h), by cuFFT (kernels/cuda/cufft_library.h).
#pragma once

#include "kernels/cuda/kspace.h"

namespace sr::cuda {

// A plan is for blocks of one length, count and order, on the device in use.
struct FftPlan;
using Fft = FftPlan*;

// cuFFT is looked for when this is first called: null, or why there is none. Only after null may the others be called.
const char* fft_missing();
Result plan_fft(int length, int count, LineOrder order, Fft* plan, int64_t* n_work_bytes);
// Transforms a block in place, unscaled, with n_work_bytes of device memory that is free for other uses once the work
// on the stream is done.
Result run_fft(Fft plan, Complex* block, bool inverse, void* work, Stream stream);
void destroy_fft(Fft plan);

}  // namespace sr::cuda
