// The emulation of CUDA itself: execution, warp collectives, atomics and tensor-core instructions do what CUDA's do.
// See also test_emulation_runtime.cpp and test_emulation_faults.cpp. Over 500 lines: one small kernel for each thing that
// CUDA promises.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/cuda/portability.h"
#include "kernels/cuda/ptx.h"
#include "kernels/cuda/tensor.cuh"
#include "tests/kernels/emulation/device_array.h"
#include "tests/support/catch.h"

namespace sr {
namespace {

using emulation::DeviceArray;
using emulation::Order;
using emulation::SettingsForTest;

constexpr Order kOrders[] = {Order::forward, Order::reverse, Order::random};

// ---- Blocks, threads, shared memory ----

__global__ void reverse_block(const float* x, float* y) {
  SR_SHARED(float, tile, [64]);
  tile[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  __syncthreads();
  y[blockIdx.x * 64 + threadIdx.x] = tile[63 - threadIdx.x];
}

TEST_CASE("a block exchanges values through shared memory", "[emulation]") {
  SettingsForTest settings;
  std::vector<float> x(192);
  std::iota(x.begin(), x.end(), 0.0f);
  const DeviceArray<float> dx(x), dy(192);
  for (const Order order : kOrders)
    for (const int os_threads : {1, 2}) {
      settings->order = order;
      settings->os_threads = os_threads;
      cudaMemset(dy, 0, 192 * sizeof(float));
      SR_LAUNCH(reverse_block, 3, 64, 0, 0, dx, dy);
      const std::vector<float> y = dy.get();
      for (size_t i = 0; i < 192; i++) CHECK(y[i] == x[i / 64 * 64 + 63 - i % 64]);
    }
}

__global__ void write_coordinates(int4* out) {
  const unsigned block = (blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x;
  const unsigned thread = (threadIdx.z * blockDim.y + threadIdx.y) * blockDim.x + threadIdx.x;
  out[block * blockDim.x * blockDim.y * blockDim.z + thread] =
      make_int4(static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y), static_cast<int>(threadIdx.x),
                static_cast<int>(threadIdx.z));
}

TEST_CASE("every thread of every block runs once, with its own indices", "[emulation]") {
  const dim3 grid(3, 2, 2), block(4, 2, 8);
  const DeviceArray<int4> out(12 * 64);
  SR_LAUNCH(write_coordinates, grid, block, 0, nullptr, out);
  const std::vector<int4> got = out.get();
  for (unsigned b = 0; b < 12; b++)
    for (unsigned t = 0; t < 64; t++) {
      const int4 v = got[b * 64 + t];
      const bool right = v.x == int(b % 3) && v.y == int(b / 3 % 2) && v.z == int(t % 4) && v.w == int(t / 8);
      CHECK(right);
    }
}

__global__ void look_at_fresh_memory(float* static_sum, float* dynamic_sum, int* offsets) {
  SR_SHARED(float, rows, [2][3]);
  SR_SHARED(int, counter, );
  SR_DYN_SHARED(float, dynamic);
  static_sum[blockIdx.x] = rows[1][2];
  dynamic_sum[blockIdx.x] = dynamic[4];
  rows[1][2] = dynamic[4] = 1.0f;  // gone in the next block
  counter = 7;
  offsets[0] = static_cast<int>(reinterpret_cast<uintptr_t>(&rows) % 16);
  offsets[1] = static_cast<int>(reinterpret_cast<uintptr_t>(dynamic) % 128);
  offsets[2] = counter;
}

TEST_CASE("shared memory is NaN when a block starts, and aligned", "[emulation]") {
  const DeviceArray<float> a(3), b(3);
  const DeviceArray<int> offsets(3);
  SR_LAUNCH(look_at_fresh_memory, 3, 1, 5 * sizeof(float), 0, a, b, offsets);
  for (const float v : a.get()) CHECK(std::isnan(v));
  for (const float v : b.get()) CHECK(std::isnan(v));
  CHECK(offsets.get() == std::vector<int>{0, 0, 7});
}

// Each thread notes when it came by, in the order of the blocks and of the threads after a barrier.
__global__ void note_arrival(int* arrivals, int* counter) {
  __syncthreads();
  arrivals[atomicAdd(counter, 1)] = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
}

std::vector<int> arrivals(Order order, uint64_t seed) {
  SettingsForTest settings;
  settings->order = order;
  settings->seed = seed;
  settings->os_threads = 1;
  const DeviceArray<int> noted(6 * 32), counter(std::vector<int>{0});
  SR_LAUNCH(note_arrival, 6, 32, 0, 0, noted, counter);
  return noted.get();
}

TEST_CASE("a kernel that depends on the order shows it", "[emulation]") {
  std::vector<int> up(6 * 32);
  std::iota(up.begin(), up.end(), 0);
  // The thread that completes a barrier goes on first.
  std::vector<int> forward = up, reverse(up.rbegin(), up.rend());
  for (auto* order : {&forward, &reverse})
    for (auto block = order->begin(); block != order->end(); block += 32) std::rotate(block, block + 31, block + 32);
  CHECK(arrivals(Order::forward, 1) == forward);
  CHECK(arrivals(Order::reverse, 1) == reverse);

  const std::vector<int> random = arrivals(Order::random, 1);
  CHECK(random != forward);
  CHECK(random == arrivals(Order::random, 1));
  CHECK(random != arrivals(Order::random, 2));
  std::vector<int> sorted = random;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == up);
}

__global__ void leave_early(int* sum, int n_stay) {
  SR_SHARED(int, values, [96]);
  values[threadIdx.x] = 1;
  __syncthreads();
  if (static_cast<int>(threadIdx.x) >= n_stay) return;
  for (int step = 0; step < 3; step++) {
    const int next = values[(static_cast<int>(threadIdx.x) + 1) % n_stay];
    __syncthreads();
    values[threadIdx.x] += next;
    __syncthreads();
  }
  atomicAdd(sum, values[threadIdx.x]);
}

TEST_CASE("barriers wait for the threads that have not exited", "[emulation]") {
  SettingsForTest settings;
  for (const Order order : kOrders) {
    settings->order = order;
    const DeviceArray<int> sum(std::vector<int>{0});
    SR_LAUNCH(leave_early, 1, 96, 0, 0, sum, 40);
    CHECK(sum.get()[0] == 40 * 8);
  }
}

__global__ void count_at_barrier(int* out) {
  const int i = static_cast<int>(threadIdx.x);
  const int count = __syncthreads_count(i % 3 == 0);
  const int any = __syncthreads_or(i == 50), none = __syncthreads_or(0);
  const int all = __syncthreads_and(1), not_all = __syncthreads_and(i != 50);
  out[i] = count * 10000 + any * 1000 + none * 100 + all * 10 + not_all;
}

TEST_CASE("barriers count predicates", "[emulation]") {
  SettingsForTest settings;
  for (const Order order : kOrders) {
    settings->order = order;
    const DeviceArray<int> out(64);
    SR_LAUNCH(count_at_barrier, 1, 64, 0, 0, out);
    CHECK(out.get() == std::vector<int>(64, 221010));
  }
}

// ---- Warp collectives ----

__global__ void shuffle_all_ways(int* out, int width) {
  const int lane = static_cast<int>(threadIdx.x % 32), value = 100 + lane;
  int* mine = out + 4 * threadIdx.x;
  mine[0] = __shfl_sync(0xffffffffu, value, 5, width);
  mine[1] = __shfl_xor_sync(0xffffffffu, value, 3, width);
  mine[2] = __shfl_down_sync(0xffffffffu, value, 2, width);
  mine[3] = __shfl_up_sync(0xffffffffu, value, 2, width);
}

TEST_CASE("shuffles move values within segments", "[emulation]") {
  SettingsForTest settings;
  for (const Order order : kOrders)
    for (const int width : {4, 8, 32}) {
      settings->order = order;
      const DeviceArray<int> out(4 * 64);
      SR_LAUNCH(shuffle_all_ways, 1, 64, 0, 0, out, width);
      const std::vector<int> got = out.get();
      for (int thread = 0; thread < 64; thread++) {
        const int lane = thread % 32, start = lane / width * width, in_segment = lane % width;
        const int* mine = &got[4 * thread];
        CHECK(mine[0] == 100 + start + 5 % width);
        CHECK(mine[1] == 100 + (lane ^ 3));
        CHECK(mine[2] == 100 + (in_segment + 2 < width ? lane + 2 : lane));
        CHECK(mine[3] == 100 + (in_segment >= 2 ? lane - 2 : lane));
      }
    }
}

// Two parts of a warp in different branches, one with more steps than the other, then all together.
__global__ void reduce_parts(float* out) {
  const unsigned lane = threadIdx.x;
  const unsigned low = __ballot_sync(0xffffffffu, lane < 8);
  float value = static_cast<float>(lane);
  if (lane < 8) {
    for (int d = 4; d > 0; d /= 2) value += __shfl_xor_sync(low, value, d);
  } else {
    value = __shfl_sync(~low, value, 31);
  }
  out[lane] = value + __shfl_sync(0xffffffffu, value, 0);
}

__global__ void sum_warp_down(double* out) {
  double value = threadIdx.x;
  // The last warp has 8 lanes only.
  const unsigned mask = __ballot_sync(0xffffffffu, 1);
  for (unsigned d = 16; d > 0; d /= 2) {
    const double other = __shfl_down_sync(mask, value, d);
    if (!std::isnan(other)) value += other;
  }
  if (threadIdx.x % 32 == 0) out[threadIdx.x / 32] = value;
}

TEST_CASE("shuffles with partial masks", "[emulation]") {
  SettingsForTest settings;
  for (const Order order : kOrders) {
    settings->order = order;
    const DeviceArray<float> out(32);
    SR_LAUNCH(reduce_parts, 1, 32, 0, 0, out);
    const std::vector<float> got = out.get();
    for (size_t lane = 0; lane < 32; lane++) CHECK(got[lane] == (lane < 8 ? 56.0f : 59.0f));

    const DeviceArray<double> sums(2);
    SR_LAUNCH(sum_warp_down, 1, 40, 0, 0, sums);
    CHECK(sums.get() == std::vector<double>{31 * 16, 8 * 35.5});
  }
}

__global__ void vote(unsigned* out) {
  const int lane = static_cast<int>(threadIdx.x);
  const unsigned ballot = __ballot_sync(0xffffffffu, lane % 2);
  unsigned facts = 0;
  if (__any_sync(0xffffffffu, lane == 9)) facts |= 1;
  if (__any_sync(0xffffffffu, lane == 99)) facts |= 2;
  if (__all_sync(0xffffffffu, lane < 32)) facts |= 4;
  if (__all_sync(0xffffffffu, lane < 31)) facts |= 8;
  out[2 * lane] = ballot;
  out[2 * lane + 1] = facts;
}

__global__ void vote_in_part_of_a_warp(unsigned* out) {
  out[threadIdx.x] = __ballot_sync(0xffffffffu, 1);
}

TEST_CASE("votes", "[emulation]") {
  const DeviceArray<unsigned> out(64);
  SR_LAUNCH(vote, 1, 32, 0, 0, out);
  const std::vector<unsigned> got = out.get();
  for (size_t lane = 0; lane < 32; lane++) {
    CHECK(got[2 * lane] == 0xaaaaaaaau);
    CHECK(got[2 * lane + 1] == 5u);
  }
  const DeviceArray<unsigned> part(7);
  SR_LAUNCH(vote_in_part_of_a_warp, 1, 7, 0, 0, part);
  CHECK(part.get() == std::vector<unsigned>(7, 0x7fu));
}

// Lanes that meet again and again while others still read what the last meeting gave them.
__global__ void rotate_often(int* out, int n) {
  const int lane = static_cast<int>(threadIdx.x % 32);
  int value = lane;
  for (int i = 0; i < n; i++) {
    value = __shfl_sync(0xffffffffu, value, (lane + 1) % 32);
    if (i % 5 == 0) __syncwarp();
  }
  out[threadIdx.x] = value;
}

TEST_CASE("many collectives in a row", "[emulation]") {
  SettingsForTest settings;
  for (const Order order : kOrders) {
    settings->order = order;
    const DeviceArray<int> out(64);
    SR_LAUNCH(rotate_often, 1, 64, 0, 0, out, 100);
    const std::vector<int> got = out.get();
    for (int t = 0; t < 64; t++) CHECK(got[t] == (t % 32 + 100) % 32);
  }
}

// ---- Atomics ----

struct Totals {
  int sum, largest, exchanged;
  unsigned counted, wrapped;
  float sum_float;
  double sum_double;
};

__global__ void all_reduce(Totals* totals) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(&totals->sum, i);
  atomicMax(&totals->largest, i);
  atomicAdd(&totals->counted, 1u);
  atomicInc(&totals->wrapped, 99);
  atomicAdd(&totals->sum_float, 0.5f);
  atomicAdd(&totals->sum_double, 0.25);
  atomicCAS(&totals->exchanged, -1, i);
  if (i == 17) atomicExch(&totals->exchanged, 1000);
}

TEST_CASE("atomics", "[emulation]") {
  SettingsForTest settings;
  settings->os_threads = 2;
  const DeviceArray<Totals> totals(std::vector<Totals>{{0, -1, -1, 0, 0, 0.0f, 0.0}});
  SR_LAUNCH(all_reduce, 8, 32, 0, 0, totals);
  const Totals t = totals.get()[0];
  CHECK(t.sum == 255 * 128);
  CHECK(t.largest == 255);
  CHECK(t.counted == 256);
  CHECK(t.wrapped == 56);
  CHECK(t.sum_float == 128.0f);
  CHECK(t.sum_double == 64.0);
  CHECK(t.exchanged == 1000);
}

// ---- Tensor cores ----

// As the kernels round (kernels/cuda/tensor.cuh).
uint32_t tf32_bits(float x) {
  return cuda::TensorOperand<cuda::Precision::tf32>::word(&x);
}
float round_to_tf32(float x) {
  return __uint_as_float((__float_as_uint(x) + 0x1000u) & 0xffffe000u);
}

// The element types of a product: how a fragment register is put together, and what becomes of a float in it.
struct F16 {
  static constexpr int kPerRegister = 2;
  __device__ static uint32_t pack(float low, float high) {
    return uint32_t{__half_as_ushort(__float2half(low))} | uint32_t{__half_as_ushort(__float2half(high))} << 16;
  }
  __device__ static void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16_f16(d, a, b);
  }
  static float round(float x) { return __half2float(__float2half(x)); }
};
struct BF16 {
  static constexpr int kPerRegister = 2;
  __device__ static uint32_t pack(float low, float high) {
    return uint32_t{__bfloat16_as_ushort(__float2bfloat16(low))} |
           uint32_t{__bfloat16_as_ushort(__float2bfloat16(high))} << 16;
  }
  __device__ static void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::mma_m16n8k16_bf16(d, a, b);
  }
  static float round(float x) { return __bfloat162float(__float2bfloat16(x)); }
};
struct TF32 {
  static constexpr int kPerRegister = 1;
  __device__ static uint32_t pack(float low, float) { return tf32_bits(low); }
  __device__ static void mma(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
    ptx::mma_m16n8k8_tf32(d, a, b);
  }
  static float round(float x) { return round_to_tf32(x); }
};

// a: 16 x K, b: K x 8, d: 16 x 8, all row-major; fragments as the PTX manual describes them.
template <class Type>
__global__ void multiply_matrices(const float* a, const float* b, float* d) {
  constexpr int kN = Type::kPerRegister, kK = 8 * kN;
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  uint32_t fa[4], fb[2];
  for (int r = 0; r < 4; r++) {
    const int row = g + 8 * (r % 2), k = kN * t + 4 * kN * (r / 2);
    fa[r] = Type::pack(a[row * kK + k], kN == 2 ? a[row * kK + k + 1] : 0.0f);
  }
  for (int r = 0; r < 2; r++) {
    const int k = kN * t + 4 * kN * r;
    fb[r] = Type::pack(b[k * 8 + g], kN == 2 ? b[(k + 1) * 8 + g] : 0.0f);
  }
  float fd[4];
  for (int j = 0; j < 4; j++) fd[j] = d[(g + 8 * (j / 2)) * 8 + 2 * t + j % 2];
  Type::mma(fd, fa, fb);
  for (int j = 0; j < 4; j++) d[(g + 8 * (j / 2)) * 8 + 2 * t + j % 2] = fd[j];
}

template <class Type>
void check_matrix_product() {
  constexpr size_t kK = 8 * Type::kPerRegister;
  std::mt19937 random(7);
  std::normal_distribution<float> normal;
  std::vector<float> a(16 * kK), b(kK * 8), d(16 * 8);
  for (auto* matrix : {&a, &b, &d})
    for (float& v : *matrix) v = normal(random);
  const DeviceArray<float> da(a), db(b), dd(d);
  SR_LAUNCH(multiply_matrices<Type>, 1, 32, 0, 0, da, db, dd);
  const std::vector<float> got = dd.get();
  for (size_t row = 0; row < 16; row++)
    for (size_t column = 0; column < 8; column++) {
      double want = d[row * 8 + column];
      for (size_t k = 0; k < kK; k++) want += double{Type::round(a[row * kK + k])} * Type::round(b[k * 8 + column]);
      // 17 sums in float of terms of about 1
      CHECK(std::abs(got[row * 8 + column] - want) < 17 * 4 * 6e-8);
    }
}

TEST_CASE("matrix products of fragments", "[emulation]") {
  check_matrix_product<F16>();
  check_matrix_product<BF16>();
  check_matrix_product<TF32>();
}

__global__ void load_fragments(const uint16_t* matrices, uint32_t* out) {
  SR_SHARED(uint16_t, rows, [32][16]);  // 8 elements of a row, then 8 that are none
  for (int i = 0; i < 8; i++) rows[threadIdx.x][i] = matrices[threadIdx.x * 8 + static_cast<unsigned>(i)];
  __syncthreads();
  uint32_t r[4];
  ptx::ldmatrix_x4(r, rows[threadIdx.x]);
  for (int m = 0; m < 4; m++) out[4 * threadIdx.x + static_cast<unsigned>(m)] = r[m];
}

TEST_CASE("matrix loads", "[emulation]") {
  std::vector<uint16_t> matrices(32 * 8);
  std::iota(matrices.begin(), matrices.end(), uint16_t{1000});
  const DeviceArray<uint16_t> in(matrices);
  const DeviceArray<uint32_t> out(4 * 32);
  SR_LAUNCH(load_fragments, 1, 32, 0, 0, in, out);
  const std::vector<uint32_t> got = out.get();
  for (uint32_t lane = 0; lane < 32; lane++)
    for (uint32_t m = 0; m < 4; m++) {
      const uint32_t g = lane / 4, t = lane % 4;
      const auto element = [&](uint32_t row, uint32_t column) { return 1000 + (8 * m + row) * 8 + column; };
      CHECK(got[4 * lane + m] == (element(g, 2 * t) | element(g, 2 * t + 1) << 16));
    }
}

// ---- Numbers ----

// Each number of a 16-bit type, the next one, and what lies around the middle between them.
template <class Number, class ToFloat, class FromFloat>
void check_rounding(uint16_t largest_finite, ToFloat to_float, FromFloat from_float) {
  int n_wrong = 0;
  for (uint16_t bits = 0; bits < largest_finite; bits++) {
    const auto next = static_cast<uint16_t>(bits + 1);
    const float low = to_float(bits), high = to_float(next);
    const float middle = low + (high - low) / 2;
    const uint16_t even = bits % 2 == 0 ? bits : next;
    for (const float sign : {1.0f, -1.0f}) {
      const auto signed_bits = [&](uint16_t b) { return static_cast<uint16_t>(b | (sign < 0 ? 0x8000 : 0)); };
      n_wrong += from_float(sign * low) != signed_bits(bits);
      n_wrong += from_float(sign * middle) != signed_bits(even);
      n_wrong += from_float(sign * std::nextafter(middle, 0.0f)) != signed_bits(bits);
      n_wrong += from_float(sign * std::nextafter(middle, HUGE_VALF)) != signed_bits(next);
    }
  }
  CHECK(n_wrong == 0);
  CHECK(std::isnan(to_float(from_float(NAN))));
  CHECK(to_float(from_float(HUGE_VALF)) == HUGE_VALF);
  CHECK(to_float(from_float(-HUGE_VALF)) == -HUGE_VALF);
}

TEST_CASE("16-bit numbers round to nearest even", "[emulation]") {
  check_rounding<__half>(
      0x7bff, [](uint16_t b) { return __half2float(__ushort_as_half(b)); },
      [](float x) { return __half_as_ushort(__float2half(x)); });
  check_rounding<__nv_bfloat16>(
      0x7f7f, [](uint16_t b) { return __bfloat162float(__ushort_as_bfloat16(b)); },
      [](float x) { return __bfloat16_as_ushort(__float2bfloat16(x)); });
  CHECK(__half2float(__float2half(65519.0f)) == 65504.0f);
  CHECK(__half2float(__float2half(65520.0f)) == HUGE_VALF);
  CHECK(__half2float(__float2half(0x1p-24f)) == 0x1p-24f);
}

TEST_CASE("16-bit arithmetic rounds once", "[emulation]") {
  const auto h = [](float x) { return __float2half(x); };
  CHECK(__half2float(__hadd(h(2048.0f), h(1.0f))) == 2048.0f);
  CHECK(__half2float(__hadd(h(2050.0f), h(1.0f))) == 2052.0f);
  CHECK(__half2float(__hfma(h(3.0f), h(5.0f), h(0.5f))) == 15.5f);
  // The sum is 2^-31 below the middle of two numbers; rounded to float first it would be the middle, and go up.
  CHECK(__half2float(__hfma(h(0x1.004p-5f), h(0x0.ffcp-6f), h(0x1.004p0f))) == 0x1.004p0f);

  const __half2 a = __floats2half2_rn(1.0f, -2.0f), b = __floats2half2_rn(0.5f, 4.0f);
  const auto pair = [](__half2 v) { return std::vector<float>{__low2float(v), __high2float(v)}; };
  CHECK(pair(__hadd2(a, b)) == std::vector<float>{1.5f, 2.0f});
  CHECK(pair(__hmul2(a, b)) == std::vector<float>{0.5f, -8.0f});
  CHECK(pair(__hfma2(a, b, a)) == std::vector<float>{1.5f, -10.0f});
  CHECK(pair(__hmax2(a, b)) == std::vector<float>{1.0f, 4.0f});
  CHECK(pair(__hmin2(a, b)) == std::vector<float>{0.5f, -2.0f});
  CHECK(pair(__hlt2(a, b)) == std::vector<float>{0.0f, 1.0f});
  CHECK(__hlt2_mask(a, b) == 0xffff0000u);
  CHECK(pair(h2exp2(a)) == std::vector<float>{2.0f, 0.25f});
  CHECK(__half2float(__hmax(h(NAN), h(1.0f))) == 1.0f);
  CHECK(__half2float(__hmin(h(1.0f), h(NAN))) == 1.0f);
  const float2 back = __half22float2(__float22half2_rn(make_float2(0.1f, 3.0f)));
  CHECK(back.x == Approx(0.1f).margin(1e-4));
  CHECK(back.y == 3.0f);
}

TEST_CASE("tf32", "[emulation]") {
  CHECK(__uint_as_float(tf32_bits(1.0f + 0x1p-11f)) == 1.0f + 0x1p-10f);  // ties away from zero
  CHECK(__uint_as_float(tf32_bits(-1.0f - 0x1p-11f)) == -1.0f - 0x1p-10f);
  CHECK(__uint_as_float(tf32_bits(1.0f + 0x1p-12f)) == 1.0f);
}

}  // namespace
}  // namespace sr
