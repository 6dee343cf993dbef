#include "kernels/emulation/emulated_ptx.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

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

template <int N>
void load_matrices(uint32_t (&r)[N], const void* row, bool transposed, const char* name, CallSite site) {
  require_capability(75, name, site);
  // Lanes beyond the last matrix give addresses that nobody looks at.
  if (lane() < 8 * N) {
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0)
      fail(std::string(name) + ": the row is not aligned to 16 bytes", site);
    if (!emulation::is_shared_memory(row, 16)) fail(std::string(name) + ": the row is not in shared memory", site);
  }
  const Deposits<const void*> rows(kFullWarp, row, name, site);
  const unsigned g = lane() / 4, t = lane() % 4;
  const auto element = [&](unsigned matrix, unsigned of_row, unsigned column) {
    uint16_t value;
    std::memcpy(&value, static_cast<const uint16_t*>(rows[8 * matrix + of_row]) + column, sizeof value);
    return uint32_t{value};
  };
  for (unsigned m = 0; m < N; m++)
    r[m] = transposed ? element(m, 2 * t, g) | element(m, 2 * t + 1, g) << 16
                      : element(m, g, 2 * t) | element(m, g, 2 * t + 1) << 16;
}

void start_copy(void* to, const void* from, unsigned bytes, bool valid, const char* name, CallSite site) {
  if (reinterpret_cast<uintptr_t>(to) % bytes != 0 || reinterpret_cast<uintptr_t>(from) % bytes != 0)
    fail(std::string(name) + ": an address is not aligned to " + std::to_string(bytes) + " bytes", site);
  if (!emulation::is_shared_memory(to, bytes)) fail(std::string(name) + ": the target is not in shared memory", site);
  if (emulation::is_shared_memory(from, bytes)) fail(std::string(name) + ": the source is in shared memory", site);
  std::memset(to, 0xff, bytes);
  emulation::AsyncCopies& copies = emulation::async_copies();
  copies.pending.push_back({to, from, bytes, valid, copies.current_group});
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

uint32_t to_tf32(float x, CallSite site) {
  require_capability(80, "to_tf32", site);
  if (std::isnan(x)) return 0x7fffffffu;
  return (std::bit_cast<uint32_t>(x) + 0x1000u) & 0xffffe000u;
}

void ldmatrix_x4(uint32_t (&r)[4], const void* row, CallSite site) {
  load_matrices(r, row, false, "ldmatrix_x4", site);
}
void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row, CallSite site) {
  load_matrices(r, row, true, "ldmatrix_x4_trans", site);
}
void ldmatrix_x2(uint32_t (&r)[2], const void* row, CallSite site) {
  load_matrices(r, row, false, "ldmatrix_x2", site);
}
void ldmatrix_x2_trans(uint32_t (&r)[2], const void* row, CallSite site) {
  load_matrices(r, row, true, "ldmatrix_x2_trans", site);
}

void cp_async_16(void* to_shared, const void* from_global, bool valid, CallSite site) {
  start_copy(to_shared, from_global, 16, valid, "cp_async_16", site);
}
void cp_async_4(void* to_shared, const void* from_global, bool valid, CallSite site) {
  start_copy(to_shared, from_global, 4, valid, "cp_async_4", site);
}

void cp_async_commit() {
  emulation::async_copies().current_group++;
}

void cp_async_wait_all_but(int n_groups) {
  emulation::AsyncCopies& copies = emulation::async_copies();
  std::erase_if(copies.pending, [&](const emulation::AsyncCopy& copy) {
    if (copy.group >= copies.current_group - n_groups) return false;
    if (copy.valid) {
      std::memcpy(copy.to, copy.from, copy.bytes);
    } else {
      std::memset(copy.to, 0, copy.bytes);
    }
    return true;
  });
}

float ex2_approx(float x) {
  const float y = std::exp2(x);
  return y < std::numeric_limits<float>::min() ? 0.0f : y;
}

__half2 ex2_f16x2(__half2 x) {
  return h2exp2(x);
}

}  // namespace sr::ptx
