#include "kernels/cuda/check.h"
#include "kernels/cuda/kspace.h"

namespace sr::cuda {
namespace {

constexpr int kThreads = 128;

// A thread per sample of a block, in the order in which they lie there, so that neighbouring threads touch neighbours
// in the block. They do so in the array as well: rows are the lines of an array with inner = 1, columns of all others.
struct Position {
  int sample, line;
};
__device__ __forceinline__ bool position_in(const LineBlock& block, Position* p) {
  const int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i >= int64_t{block.length} * block.count) return false;
  if (block.order == LineOrder::rows)
    *p = {static_cast<int>(i % block.length), static_cast<int>(i / block.length)};
  else
    *p = {static_cast<int>(i / block.count), static_cast<int>(i % block.count)};
  return true;
}

__device__ __forceinline__ Complex& sample(const LineBlock& block, Position p) {
  return block.data[block.order == LineOrder::rows ? int64_t{p.line} * block.length + p.sample
                                                   : int64_t{p.sample} * block.count + p.line];
}

// Where a sample of a line of n lies in the array.
__device__ __forceinline__ int64_t index_in(const AxisLines& array, int n, Position p) {
  const int64_t l = array.first + p.line;
  return ((l / array.inner) * n + p.sample) * array.inner + l % array.inner;
}

__global__ void __launch_bounds__(kThreads) gather_lines_kernel(AxisLines from, LineBlock to) {
  Position p;
  if (!position_in(to, &p)) return;
  const int64_t i = index_in(from, to.length, p);
  sample(to, p) = from.real ? Complex{from.real[i], 0.0f} : from.complex[i];
}

__global__ void __launch_bounds__(kThreads) crop_kernel(LineBlock spectra, LineBlock kept) {
  Position p;
  if (!position_in(kept, &p)) return;
  // Frequencies 0 .. m - floor(m/2) - 1 lie in front of both spectra, the negative ones at their ends.
  const int m = kept.length, n = spectra.length;
  const Complex v = sample(spectra, {p.sample < m - m / 2 ? p.sample : p.sample + (n - m), p.line});
  const float scale = 1.0f / static_cast<float>(n);
  sample(kept, p) = {v.re * scale, v.im * scale};
}

__global__ void __launch_bounds__(kThreads) scatter_kernel(LineBlock from, AxisLines to) {
  Position p;
  if (!position_in(from, &p)) return;
  const Complex v = sample(from, p);
  const int64_t i = index_in(to, from.length, p);
  if (to.real)
    to.real[i] = hypotf(v.re, v.im);  // images in small or large units: squares may leave the range of float
  else
    to.complex[i] = v;
}

dim3 blocks(const LineBlock& block) {
  return dim3(static_cast<unsigned>((int64_t{block.length} * block.count + kThreads - 1) / kThreads));
}

}  // namespace

Result gather_lines(const AxisLines& from, const LineBlock& to, Stream stream) {
  SR_LAUNCH(gather_lines_kernel, blocks(to), dim3(kThreads), 0, stream, from, to);
  return launched("gathering lines");
}

Result crop_lines(const LineBlock& spectra, const LineBlock& kept, Stream stream) {
  SR_LAUNCH(crop_kernel, blocks(kept), dim3(kThreads), 0, stream, spectra, kept);
  return launched("cutting spectra");
}

Result scatter_lines(const LineBlock& from, const AxisLines& to, Stream stream) {
  SR_LAUNCH(scatter_kernel, blocks(from), dim3(kThreads), 0, stream, from, to);
  return launched("scattering lines");
}

}  // namespace sr::cuda
