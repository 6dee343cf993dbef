// The emulation of CUDA itself: what kernels may do gives what CUDA gives, what they may not do is seen.
#include <numeric>
#include <vector>

#include "kernels/cuda_portability.h"
#include "kernels/cuda_ptx.h"
#include "tests/catch.h"
#include "tests/emulation/settings.h"

namespace sr {
namespace {

__global__ void reverse_block(const float* x, float* y) {
  SR_SHARED(float, tile, [64]);
  tile[threadIdx.x] = x[blockIdx.x * 64 + threadIdx.x];
  __syncthreads();
  y[blockIdx.x * 64 + threadIdx.x] = tile[63 - threadIdx.x];
}

TEST_CASE("a block exchanges values through shared memory", "[emulation]") {
  std::vector<float> x(192), y(192);
  std::iota(x.begin(), x.end(), 0.0f);
  float *dx, *dy;
  REQUIRE(cudaMalloc(&dx, 768) == cudaSuccess);
  REQUIRE(cudaMalloc(&dy, 768) == cudaSuccess);
  REQUIRE(cudaMemcpy(dx, x.data(), 768, cudaMemcpyHostToDevice) == cudaSuccess);
  SR_LAUNCH(reverse_block, 3, 64, 0, 0, dx, dy);
  REQUIRE(cudaMemcpy(y.data(), dy, 768, cudaMemcpyDeviceToHost) == cudaSuccess);
  for (size_t i = 0; i < 192; i++) CHECK(y[i] == x[i / 64 * 64 + 63 - i % 64]);
  cudaFree(dx);
  cudaFree(dy);
  CHECK(emulation::device_bytes_allocated() == 0);
}

}  // namespace
}  // namespace sr
