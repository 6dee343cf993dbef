#include "kernels/emulation/emulated_ptx.h"

#include <bit>
#include <cstring>

#include "kernels/emulation/settings.h"

namespace sr::ptx {
namespace {

using emulation::Deposits;
using emulation::fail;
using emulation::lane;

constexpr unsigned kFullWarp = ~0u;

// Where the real function would trap.
void require_capability(int at_least, const char* function, CallSite site) {
  const int capability = 10 * emulation::settings().major + emulation::settings().minor;
  if (capability < at_least)
    fail(std::string(function) + " traps: it needs compute capability " + std::to_string(at_least / 10) + "." +
             std::to_string(at_least % 10),
         site);
}

// One lane's share of the factors: N consecutive values of k per register.
template <int N>
struct Fragments {
  float a[4][N];
  float b[2][N];
};

// d += a * b. Register r of a holds rows g + 8 * (r % 2) and values of k from N * t + 4 * N * (r / 2); that of b
// columns g and k from N * t + 4 * N * r. The same holds for 16-bit types (N = 2) and tf32 (N = 1).
template <int N>
void multiply(float (&d)[4], const Fragments<N>& mine, const char* name, CallSite site) {
  const Deposits<Fragments<N>> warp(kFullWarp, mine, name, site);
  const unsigned g = lane() / 4, t = lane() % 4;
  const Fragments<N> b_of[2][4] = {{warp[8 * t], warp[8 * t + 1], warp[8 * t + 2], warp[8 * t + 3]},
                                   {warp[8 * t + 4], warp[8 * t + 5], warp[8 * t + 6], warp[8 * t + 7]}};
  for (unsigned from = 0; from < 4; from++) {  // the lanes of rows g and g + 8, a quarter of k each
    const Fragments<N> a = warp[4 * g + from];
    for (unsigned half = 0; half < 2; half++)
      for (int i = 0; i < N; i++)
        for (unsigned j = 0; j < 4; j++) d[j] += a.a[j / 2 + 2 * half][i] * b_of[j % 2][from].b[half][i];
  }
}

template <class Convert>
Fragments<2> unpack(const uint32_t (&a)[4], const uint32_t (&b)[2], Convert to_float) {
  Fragments<2> f;
  for (int r = 0; r < 4; r++) {
    f.a[r][0] = to_float(static_cast<uint16_t>(a[r]));
    f.a[r][1] = to_float(static_cast<uint16_t>(a[r] >> 16));
  }
  for (int r = 0; r < 2; r++) {
    f.b[r][0] = to_float(static_cast<uint16_t>(b[r]));
    f.b[r][1] = to_float(static_cast<uint16_t>(b[r] >> 16));
  }
  return f;
}

// The hardware does not look at the 13 lowest bits.
float read_tf32(uint32_t bits) {
  return std::bit_cast<float>(bits & 0xffffe000u);
}

}  // namespace

void mma_m16n8k16_f16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], CallSite site) {
  require_capability(75, "mma_m16n8k16_f16", site);
  multiply(d, unpack(a, b, [](uint16_t bits) { return __half2float(__ushort_as_half(bits)); }), "mma_m16n8k16_f16",
           site);
}

void mma_m16n8k16_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], CallSite site) {
  require_capability(80, "mma_m16n8k16_bf16", site);
  multiply(d, unpack(a, b, [](uint16_t bits) { return __bfloat162float(__ushort_as_bfloat16(bits)); }),
           "mma_m16n8k16_bf16", site);
}

void mma_m16n8k8_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], CallSite site) {
  require_capability(80, "mma_m16n8k8_tf32", site);
  Fragments<1> f;
  for (int r = 0; r < 4; r++) f.a[r][0] = read_tf32(a[r]);
  for (int r = 0; r < 2; r++) f.b[r][0] = read_tf32(b[r]);
  multiply(d, f, "mma_m16n8k8_tf32", site);
}

void ldmatrix_x4(uint32_t (&r)[4], const void* row, CallSite site) {
  require_capability(75, "ldmatrix_x4", site);
  if (reinterpret_cast<uintptr_t>(row) % 16 != 0) fail("ldmatrix_x4: the row is not aligned to 16 bytes", site);
  if (!emulation::is_shared_memory(row, 16)) fail("ldmatrix_x4: the row is not in shared memory", site);
  const Deposits<const void*> rows(kFullWarp, row, "ldmatrix_x4", site);
  const unsigned g = lane() / 4, t = lane() % 4;
  for (unsigned m = 0; m < 4; m++) {
    uint16_t pair[2];
    std::memcpy(pair, static_cast<const uint16_t*>(rows[8 * m + g]) + 2 * t, sizeof pair);
    r[m] = pair[0] | uint32_t{pair[1]} << 16;
  }
}

}  // namespace sr::ptx
