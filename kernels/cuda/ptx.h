// The only place with inline PTX: tensor cores, matrix loads, asynchronous copies, fast exponentials. Outside of nvcc
// the same functions come from the emulation (kernels/emulation/emulated_ptx.h).
//
//   function                  7.5                 8.0 and newer   below 7.5
//   mma_m16n8k16_f16          two m16n8k8         yes             traps
//   mma_m16n8k16_bf16         traps               yes             traps
//   mma_m16n8k8_tf32, to_tf32 traps               yes             traps
//   ldmatrix_*                yes                 yes             traps
//   cp_async_*                plain copies        yes             plain copies
//   ex2_approx                yes                 yes             yes
//   ex2_f16x2                 yes                 yes             through float
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
// and of tf32 (a: 16 x 8, b: 8 x 8, one element a register, from to_tf32):
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

// Rounds to the 10 bits of mantissa that tensor cores look at, ties away from zero. Without it they cut.
__device__ __forceinline__ uint32_t to_tf32(float x) {
#if __CUDA_ARCH__ >= 800
  uint32_t y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return y;
#else
  __trap();
  return 0;
#endif
}

// ---- Matrix loads from shared memory ----
//
// Matrices of 8 rows of 8 16-bit elements. Lane l gives the address of row l % 8 of matrix l / 8 (lanes 16 and up count
// for x4 only), aligned to 16 bytes. A lane gets elements 2t, 2t + 1 of row g of each matrix; with _trans, rows 2t and
// 2t + 1 of column g.

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

__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
#if __CUDA_ARCH__ >= 750
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address)
               : "memory");
#else
  __trap();
#endif
}

__device__ __forceinline__ void ldmatrix_x2(uint32_t (&r)[2], const void* row) {
#if __CUDA_ARCH__ >= 750
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(address)
               : "memory");
#else
  __trap();
#endif
}

__device__ __forceinline__ void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row) {
#if __CUDA_ARCH__ >= 750
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(row));
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(address)
               : "memory");
#else
  __trap();
#endif
}

// ---- Asynchronous copies from global to shared memory ----
//
// Each thread's copies since its last commit form a group. cp_async_wait<N> waits until all but the thread's last N
// groups have landed; other threads see them after a barrier. Not valid: zeros, and nothing is read (the address must
// still be one that could be). Both addresses are aligned to the size.

// Through L2 only: a tile is read once by its block.
__device__ __forceinline__ void cp_async_16(void* to_shared, const void* from_global, bool valid = true) {
#if __CUDA_ARCH__ >= 800
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(to_shared));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address),
               "l"(__cvta_generic_to_global(from_global)), "r"(valid ? 16 : 0)
               : "memory");
#else
  *static_cast<uint4*>(to_shared) = valid ? *static_cast<const uint4*>(from_global) : make_uint4(0, 0, 0, 0);
#endif
}

__device__ __forceinline__ void cp_async_4(void* to_shared, const void* from_global, bool valid = true) {
#if __CUDA_ARCH__ >= 800
  const uint32_t address = static_cast<uint32_t>(__cvta_generic_to_shared(to_shared));
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(address),
               "l"(__cvta_generic_to_global(from_global)), "r"(valid ? 4 : 0)
               : "memory");
#else
  *static_cast<uint32_t*>(to_shared) = valid ? *static_cast<const uint32_t*>(from_global) : 0;
#endif
}

__device__ __forceinline__ void cp_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

template <int N>
__device__ __forceinline__ void cp_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// ---- 2^x, approximately ----

// Relative error 2^-22; results below 2^-126 are 0.
__device__ __forceinline__ float ex2_approx(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

// Both halves; relative error 2^-9.9.
__device__ __forceinline__ __half2 ex2_f16x2(__half2 x) {
#if __CUDA_ARCH__ >= 750
  uint32_t y;
  asm("ex2.approx.f16x2 %0, %1;" : "=r"(y) : "r"(*reinterpret_cast<const uint32_t*>(&x)));
  return *reinterpret_cast<const __half2*>(&y);
#else
  return __floats2half2_rn(ex2_approx(__low2float(x)), ex2_approx(__high2float(x)));
#endif
}

}  // namespace sr::ptx

#endif
