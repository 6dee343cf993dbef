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
uint32_t to_tf32(float x, CallSite site = CallSite::current());

void ldmatrix_x4(uint32_t (&r)[4], const void* row, CallSite site = CallSite::current());
void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, CallSite site = CallSite::current());
void ldmatrix_x2(uint32_t (&r)[2], const void* row, CallSite site = CallSite::current());
void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row, CallSite site = CallSite::current());

// A copy lands when it is waited for, not before; until then its target is NaN. So a kernel without the wait, or with
// one too few, computes NaN.
void cp_async_16(void* to_shared, const void* from_global, bool valid = true, CallSite site = CallSite::current());
void cp_async_4(void* to_shared, const void* from_global, bool valid = true, CallSite site = CallSite::current());
void cp_async_commit();
void cp_async_wait_all_but(int n_groups);
template <int N>
void cp_async_wait() {
  cp_async_wait_all_but(N);
}

float ex2_approx(float x);
__half2 ex2_f16x2(__half2 x);

}  // namespace sr::ptx
