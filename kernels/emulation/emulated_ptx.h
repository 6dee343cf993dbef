// The functions of kernels/cuda/ptx.h, which describes them, on the CPU.
#pragma once

#include <cstdint>

#include "kernels/emulation/execution.h"
#include "kernels/emulation/float16.h"

namespace sr::ptx {

using emulation::CallSite;

void mma_m16n8k16_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                      CallSite site = CallSite::current());
void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                       CallSite site = CallSite::current());
void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                      CallSite site = CallSite::current());

void ldmatrix_x4(uint32_t (&r)[4], const void* row, CallSite site = CallSite::current());

}  // namespace sr::ptx
