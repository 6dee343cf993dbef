// Kernels that break CUDA's rules: the emulation must say so. What ends the program runs in a child process.
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <string>
#include <vector>

#include "kernels/cuda/portability.h"
#include "kernels/cuda/ptx.h"
#include "tests/kernels/emulation/device_array.h"
#include "tests/support/catch.h"

namespace sr {
namespace {

using emulation::DeviceArray;
using emulation::Order;
using emulation::SettingsForTest;

constexpr Order kOrders[] = {Order::forward, Order::reverse, Order::random};

struct Outcome {
  bool ended_well = false;
  std::string output;
};

// How a child process is told which of its test case's faults to run, and where to print.
constexpr const char* kFaultVariable = "SR_EMULATION_FAULT";
constexpr const char* kOutputVariable = "SR_EMULATION_FAULT_OUTPUT";

// Numbers the faults of a test case.
int next_fault_of(const std::string& test_case) {
  static std::map<std::string, int> calls;
  return ++calls[test_case];
}

// Runs this program again with the running test case only; there the same call of in_child runs f, and ends. (A plain
// fork would do without ThreadSanitizer, which stops following what happens in the child of a process with fibers.)
// Test cases that call it have no sections, and no commas in their names.
template <class F>
Outcome in_child(F f) {
  const std::string test_case = Catch::getResultCapture().getCurrentTestName();
  const std::string call = std::to_string(next_fault_of(test_case));
  if (const char* wanted = std::getenv(kFaultVariable)) {
    if (wanted != call) return {};
    std::cout.flush();
    std::fflush(stdout);
    const int output = std::atoi(std::getenv(kOutputVariable));
    dup2(output, STDOUT_FILENO);
    dup2(output, STDERR_FILENO);
    // Catch2's handlers would report a failed test.
    for (const int signal : {SIGABRT, SIGSEGV, SIGILL}) std::signal(signal, SIG_DFL);
    const rlimit no_core = {0, 0};
    setrlimit(RLIMIT_CORE, &no_core);
    emulation::settings() = {};  // which thread a message names depends on the order
    f();
    cudaDeviceSynchronize();
    _exit(0);
  }

  std::array<int, 2> ends;
  REQUIRE(pipe(ends.data()) == 0);
  setenv(kFaultVariable, call.c_str(), 1);
  setenv(kOutputVariable, std::to_string(ends[1]).c_str(), 1);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const int nowhere = open("/dev/null", O_WRONLY);  // for what Catch2 prints on the way
    dup2(nowhere, STDOUT_FILENO);
    dup2(nowhere, STDERR_FILENO);
    execl("/proc/self/exe", "test_emulation", test_case.c_str(), static_cast<char*>(nullptr));
    _exit(127);
  }
  unsetenv(kFaultVariable);
  unsetenv(kOutputVariable);
  close(ends[1]);
  Outcome outcome = {};
  std::array<char, 4096> buffer;
  for (ssize_t n; (n = read(ends[0], buffer.data(), buffer.size())) > 0;)
    outcome.output.append(buffer.data(), static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  outcome.ended_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
  return outcome;
}

template <class F>
void check_fault(F f, const std::string& message) {
  const Outcome outcome = in_child(f);
  CHECK_FALSE(outcome.ended_well);
  CHECK_THAT(outcome.output, ContainsSubstring("emulation: ") && ContainsSubstring(message));
}

// Memory that no REQUIRE watches: for child processes.
float* device_floats(size_t n) {
  float* p = nullptr;
  cudaMalloc(&p, n * sizeof(float));
  return p;
}

[[maybe_unused]] bool has_nan(const std::vector<float>& values) {
  return std::any_of(values.begin(), values.end(), [](float v) { return std::isnan(v); });
}

// ---- Missing barriers ----

__global__ void reverse_without_barrier(const float* x, float* y) {
  SR_SHARED(float, tile, [64]);
  tile[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = tile[63 - threadIdx.x];
}

TEST_CASE("a missing barrier shows as NaN in every order", "[emulation]") {
#ifdef SR_EMULATION_TSAN
  const Outcome outcome =
      in_child([] { SR_LAUNCH(reverse_without_barrier, 1, 64, 0, 0, device_floats(64), device_floats(64)); });
  CHECK_THAT(outcome.output,
             ContainsSubstring("ThreadSanitizer: data race") && ContainsSubstring("reverse_without_barrier"));
#else
  SettingsForTest settings;
  const DeviceArray<float> x(std::vector<float>(64, 1.0f)), y(64);
  for (const Order order : kOrders) {
    settings->order = order;
    cudaMemset(y, 0, 64 * sizeof(float));
    SR_LAUNCH(reverse_without_barrier, 1, 64, 0, 0, x, y);
    CHECK(has_nan(y.get()));
  }
#endif
}

// Lanes of a warp are not in step with each other; a shuffle does not make them so, __syncwarp does.
template <bool kSynchronise>
__global__ void pass_through_warp(float* y) {
  SR_SHARED(float, tile, [32]);
  tile[threadIdx.x] = 1.0f;
  if constexpr (kSynchronise) __syncwarp();
  y[threadIdx.x] = tile[(threadIdx.x + 1) % 32];
}

TEST_CASE("warps need __syncwarp to see each other's writes", "[emulation]") {
  const DeviceArray<float> y(32);
  SR_LAUNCH(pass_through_warp<true>, 1, 32, 0, 0, y);
  CHECK(y.get() == std::vector<float>(32, 1.0f));
#ifdef SR_EMULATION_TSAN
  const Outcome outcome = in_child([] { SR_LAUNCH(pass_through_warp<false>, 1, 32, 0, 0, device_floats(32)); });
  CHECK_THAT(outcome.output, ContainsSubstring("ThreadSanitizer: data race"));
#else
  SR_LAUNCH(pass_through_warp<false>, 1, 32, 0, 0, y);
  CHECK(has_nan(y.get()));
#endif
}

// The second barrier of a loop over tiles: without it, the next tile is written while others read this one. In forward
// order the result is right all the same.
template <bool kSecondBarrier>
__global__ void sum_tiles(const float* x, float* y, int n_tiles) {
  SR_SHARED(float, tile, [64]);
  float sum = 0.0f;
  for (int i = 0; i < n_tiles; i++) {
    tile[threadIdx.x] = x[static_cast<unsigned>(i) * 64 + threadIdx.x];
    __syncthreads();
    sum += tile[63 - threadIdx.x];
    if constexpr (kSecondBarrier) __syncthreads();
  }
  y[threadIdx.x] = sum;
}

#ifdef SR_EMULATION_TSAN
TEST_CASE("ThreadSanitizer sees races between tiles and no others", "[emulation]") {
  const auto run = [](auto kernel) {
    return in_child([kernel] {
      float* x = device_floats(256);
      cudaMemset(x, 0, 256 * sizeof(float));
      emulation::launch("sum_tiles", emulation::CallSite::current(), kernel, 1, 64, 0, nullptr, x, device_floats(64),
                        4);
    });
  };
  CHECK_THAT(run(sum_tiles<false>).output, ContainsSubstring("ThreadSanitizer: data race"));
  const Outcome right = run(sum_tiles<true>);
  CHECK(right.output == "");
  CHECK(right.ended_well);
}

__global__ void blocks_write_one_place(float* y) {
  y[threadIdx.x] = static_cast<float>(blockIdx.x);
}

TEST_CASE("ThreadSanitizer sees races between blocks that OS threads share", "[emulation]") {
  const Outcome outcome = in_child([] {
    emulation::settings().os_threads = 2;
    SR_LAUNCH(blocks_write_one_place, 2, 32, 0, 0, device_floats(32));
  });
  CHECK_THAT(outcome.output, ContainsSubstring("ThreadSanitizer: data race"));
}
#else
TEST_CASE("a missing second barrier changes the sum", "[emulation]") {
  SettingsForTest settings;
  std::vector<float> x(256);
  for (size_t i = 0; i < x.size(); i++) x[i] = static_cast<float>(i);
  const DeviceArray<float> dx(x), right(64), wrong(64);
  bool seen = false;
  for (const Order order : kOrders) {
    settings->order = order;
    SR_LAUNCH(sum_tiles<true>, 1, 64, 0, 0, dx, right, 4);
    SR_LAUNCH(sum_tiles<false>, 1, 64, 0, 0, dx, wrong, 4);
    for (size_t i = 0; i < 64; i++) CHECK(right.get()[i] == static_cast<float>(4 * (63 - i) + 6 * 64));
    seen |= right.get() != wrong.get();
  }
  CHECK(seen);
}
#endif

// ---- Barriers and warps ----

__global__ void barrier_in_both_branches(int split) {
  if (static_cast<int>(threadIdx.y * 32 + threadIdx.x) < split) {
    __syncthreads();
  } else {
    __syncthreads();
  }
}

__global__ void barrier_against_shuffle(float* y) {
  if (threadIdx.x < 16) {
    __syncthreads();
  } else {
    y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, 1.0f, 1);
  }
}

TEST_CASE("divergent barriers", "[emulation]") {
  check_fault([] { SR_LAUNCH(barrier_in_both_branches, dim3(1), dim3(32, 2), 0, 0, 40); },
              "divergent __syncthreads: other threads wait at ");
  const Outcome outcome = in_child([] { SR_LAUNCH(barrier_in_both_branches, dim3(1), dim3(32, 2), 0, 0, 40); });
  // Who, where, and from where.
  CHECK_THAT(outcome.output, ContainsSubstring("kernel barrier_in_both_branches launched at ") &&
                                 ContainsSubstring("test_emulation_faults.cpp:") &&
                                 ContainsSubstring("block (0,0,0), thread (8,1,0)") &&
                                 ContainsSubstring("waits in __syncthreads at "));
  check_fault([] { SR_LAUNCH(barrier_against_shuffle, 1, 32, 0, 0, device_floats(32)); },
              "deadlock: every remaining thread waits");
}

__global__ void reduce_eight(float* y, unsigned mask) {
  if (threadIdx.x < 8) y[threadIdx.x] = __shfl_xor_sync(mask, static_cast<float>(threadIdx.x), 1);
}
__global__ void shuffle_after_others_left(float* y) {
  if (threadIdx.x < 8) return;
  y[threadIdx.x] = __shfl_sync(0xffffffffu, 1.0f, 9);
}
__global__ void shuffle_from_outside(float* y) {
  if (threadIdx.x < 8) y[threadIdx.x] = __shfl_sync(0xffu, 1.0f, 12);
}
__global__ void different_collectives(unsigned* y) {
  if (threadIdx.x < 8) {
    y[threadIdx.x] = __shfl_sync(0xffffffffu, threadIdx.x, 0);
  } else {
    y[threadIdx.x] = __ballot_sync(0xffffffffu, 1);
  }
}

TEST_CASE("wrong warp masks", "[emulation]") {
  check_fault([] { SR_LAUNCH(reduce_eight, 1, 32, 0, 0, device_floats(32), 0xffffffffu); },
              "but the mask 0xffffffff of __shfl_xor_sync names it");
  check_fault([] { SR_LAUNCH(reduce_eight, 1, 32, 0, 0, device_floats(32), 0xf0u); },
              "__shfl_xor_sync: the mask 0x000000f0 leaves out lane 0, which calls it");
  check_fault([] { SR_LAUNCH(shuffle_after_others_left, 1, 32, 0, 0, device_floats(32)); },
              "__shfl_sync: the mask 0xffffffff names lane 0, which has exited");
  check_fault([] { SR_LAUNCH(shuffle_from_outside, 1, 32, 0, 0, device_floats(32)); },
              "__shfl_sync reads lane 12, which its mask leaves out");
  check_fault([] { SR_LAUNCH(different_collectives, 1, 32, 0, 0, reinterpret_cast<unsigned*>(device_floats(32))); },
              "divergent warp: __ballot_sync meets __shfl_sync");
}

// ---- Shared memory ----

__global__ void write_behind_shared(int index) {
  SR_SHARED(float, tile, [8]);
  SR_DYN_SHARED(float, dynamic);
  float* volatile target = index < 0 ? dynamic + 8 : tile + index;
  *target = 1.0f;
}
__global__ void read_behind_shared(float* y, int index) {
  SR_SHARED(float, tile, [8]);
  tile[threadIdx.x] = 1.0f;
  const float* volatile source = tile + index;
  if (threadIdx.x == 0) *y = *source;
}

TEST_CASE("shared memory out of bounds", "[emulation]") {
#ifdef SR_EMULATION_ASAN
  const Outcome wrote = in_child([] { SR_LAUNCH(write_behind_shared, 1, 1, 32, 0, 8); });
  CHECK_FALSE(wrote.ended_well);
  CHECK_THAT(wrote.output,
             ContainsSubstring("AddressSanitizer: use-after-poison") && ContainsSubstring("write_behind_shared"));
  const Outcome read = in_child([] { SR_LAUNCH(read_behind_shared, 1, 8, 0, 0, device_floats(1), 8); });
  CHECK_FALSE(read.ended_well);
  CHECK_THAT(read.output, ContainsSubstring("AddressSanitizer: use-after-poison"));
#else
  check_fault([] { SR_LAUNCH(write_behind_shared, 1, 1, 32, 0, 8); },
              "shared memory was written 32 bytes from the start of tile, which has 32");
  check_fault([] { SR_LAUNCH(write_behind_shared, 1, 1, 32, 0, -1); },
              "shared memory was written 32 bytes from the start of dynamic shared memory, which has 32");
  const DeviceArray<float> y(1);
  SR_LAUNCH(read_behind_shared, 1, 8, 0, 0, y, 8);
  CHECK(std::isnan(y.get()[0]));
#endif
}

__global__ void run_nowhere() {}
__global__ void use_static_shared() {
  SR_SHARED(float, large, [10000]);
  large[0] = 0.0f;
}

TEST_CASE("launches that CUDA refuses", "[emulation]") {
  check_fault([] { SR_LAUNCH(run_nowhere, 0, 32, 0, 0); }, "invalid launch configuration: a grid of (0,1,1) blocks");
  check_fault([] { SR_LAUNCH(run_nowhere, 1, 1025, 0, 0); }, "a block of (1025,1,1) threads");
  check_fault([] { SR_LAUNCH(run_nowhere, 1, dim3(1, 1, 65), 0, 0); }, "a block of (1,1,65) threads");
  check_fault([] { SR_LAUNCH(run_nowhere, dim3(1, 65536), 1, 0, 0); }, "a grid of (1,65536,1) blocks");
  check_fault([] { SR_LAUNCH(run_nowhere, 1, 32, 49153, 0); },
              "49153 bytes of dynamic shared memory, the kernel may have 49152 (cudaFuncSetAttribute)");
  check_fault([] { SR_LAUNCH(use_static_shared, 1, 32, 10000, 0); },
              "40000 bytes of static and 10000 of dynamic shared memory, the kernel may have 49152 in all");
}

// ---- Matrix loads ----

__global__ void load_misaligned() {
  SR_SHARED(uint16_t, rows, [32][9]);
  uint32_t r[4];
  ptx::ldmatrix_x4(r, rows[threadIdx.x]);
}
__global__ void load_from_device_memory(const float* x) {
  uint32_t r[4];
  ptx::ldmatrix_x4(r, x);
}

TEST_CASE("misused matrix loads", "[emulation]") {
  check_fault([] { SR_LAUNCH(load_misaligned, 1, 32, 0, 0); }, "ldmatrix_x4: the row is not aligned to 16 bytes");
  check_fault([] { SR_LAUNCH(load_from_device_memory, 1, 32, 0, 0, device_floats(8)); },
              "ldmatrix_x4: the row is not in shared memory");
}

__global__ void use_tensor_cores(float* y) {
  float d[4] = {};
  const uint32_t a[4] = {}, b[2] = {};
  ptx::mma_m16n8k16_f16(d, a, b);
  ptx::mma_m16n8k16_bf16(d, a, b);
  y[threadIdx.x] = d[0];
}

TEST_CASE("tensor cores that the device does not have", "[emulation]") {
  const auto on_device = [](int major, int minor) {
    return [=] {
      emulation::settings().major = major;
      emulation::settings().minor = minor;
      SR_LAUNCH(use_tensor_cores, 1, 32, 0, 0, device_floats(32));
    };
  };
  check_fault(on_device(7, 0), "mma_m16n8k16_f16 traps: it needs compute capability 7.5");
  check_fault(on_device(7, 5), "mma_m16n8k16_bf16 traps: it needs compute capability 8.0");
  CHECK(in_child(on_device(8, 0)).ended_well);
}

// ---- Device memory ----

__global__ void write_at(float* y, int index) {
  y[index] = 1.0f;
}

TEST_CASE("device memory out of bounds", "[emulation]") {
  const auto write_and_free = [](int index) {
    return in_child([=] {
      float* p = device_floats(5);
      SR_LAUNCH(write_at, 1, 1, 0, 0, p, index);
      cudaFree(p);
    });
  };
  CHECK(write_and_free(4).ended_well);
  for (const int index : {5, -1}) {
    const Outcome outcome = write_and_free(index);
    CHECK_FALSE(outcome.ended_well);
#ifdef SR_EMULATION_ASAN
    CHECK_THAT(outcome.output, ContainsSubstring("AddressSanitizer: use-after-poison"));
#else
    CHECK_THAT(outcome.output, ContainsSubstring("emulation: an allocation of 20 bytes was written"));
#endif
  }
}

}  // namespace
}  // namespace sr
