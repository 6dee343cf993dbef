// The only place with inline PTX: tensor cores and matrix loads. Outside of nvcc the same functions come from the
// emulation (kernels/emulation/emulated_ptx.h).
//
//   function            7.5             8.0 and newer   below 7.5
//   mma_m16n8k16_f16    two m16n8k8     yes             traps
//   mma_m16n8k16_bf16   traps           yes             traps
//   mma_m16n8k8_tf32    traps           yes             traps
//   ldmatrix_x4         yes             yes             traps
//
// A trap ends the kernel with an error: the host chooses kernels by compute capability.
#pragma once

#include <cstdint>

#include "kernels/cuda/portability.h"

#if !defined(__CUDACC__) && !defined(__CUDA__)

#include "kernels/emulation/emulated_ptx.h"

#else

namespace sr::ptx {

// ---- Tensor cores: d += a * b, for one warp ----
//
// d is 16 x 8, float. With g = lane / 4 and t = lane % 4 a lane holds
//   d[0], d[1] = D[g][2t], D[g][2t + 1]        d[2], d[3] = D[g + 8][2t], D[g + 8][2t + 1]
// The fragments of 16-bit types (a: 16 x 16, b: 16 x 8, two elements a register, the lower column or row in the lower
// half):
//   a[0] = A[g][2t..]   a[1] = A[g + 8][2t..]   a[2] = A[g][2t + 8..]   a[3] = A[g + 8][2t + 8..]
//   b[0] = B[2t..][g]   b[1] = B[2t + 8..][g]
// and of tf32 (a: 16 x 8, b: 8 x 8, one element a register, of whose mantissa 10 bits are looked at):
//   a[0] = A[g][t]      a[1] = A[g + 8][t]      a[2] = A[g][t + 4]      a[3] = A[g + 8][t + 4]
//   b[0] = B[t][g]      b[1] = B[t + 4][g]
// PTX ISA, "Matrix fragments for mma.m16n8k16" and "mma.m16n8k8".

__device__ __forceinline__ void mma_m16n8k16_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif __CUDA_ARCH__ >= 750
  // Turing has k = 8 only; the fragments of k = 16 are those of two k = 8.
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(b[0]));
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[2]), "r"(a[3]), "r"(b[1]));
#else
  __trap();
#endif
}

__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

__device__ __forceinline__ void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

// ---- Matrix loads from shared memory ----
//
// Matrices of 8 rows of 8 16-bit elements. Lane l gives the address of row l % 8 of matrix l / 8, aligned to 16 bytes.
// A lane gets elements 2t, 2t + 1 of row g of each matrix.

__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
#if __CUDA_ARCH__ >= 750
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
#else
  __trap();
#endif
}

}  // namespace sr::ptx

#endif
