// Times the convolutions of a network in cuDNN, one after another on a GPU, and prints a JSON object:
//
//   cudnn_convs --model b4u4 [--patch 70] [--precision fp32|tf32|f16|bf16] [--device 0] [--repeats 10]
//
// The convolutions alone, as onednn_convs.cpp says: no batch-norm, ELU or concatenation. cuDNN measures its algorithms
// for each layer in both layouts, planar and channels last, and the fastest of all is taken, though two layers may then
// want their common features laid out differently. Sums are taken in float32. What is timed is first compared, in some
// voxels, with sums in double.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <cudnn.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <tuple>

#include "bench/peers/convolutions.h"
#include "kernels/features.h"

namespace {

using namespace sr;
using namespace sr::peers;

constexpr size_t kMostWorkspace = size_t{2} << 30;  // bytes that an algorithm may ask for

void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}
// cuDNN cannot do what was asked, in the layout in which it was asked.
struct CudnnError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
void check(cudnnStatus_t status) {
  if (status != CUDNN_STATUS_SUCCESS) throw CudnnError(cudnnGetErrorString(status));
}

struct Precision {
  cudnnDataType_t type;
  cudnnMathType_t math;
  size_t bytes;      // of a number
  double tolerance;  // of a layer's result, as a share of its rms
};

Precision precision_of(const std::string& name) {
  if (name == "fp32") return {CUDNN_DATA_FLOAT, CUDNN_FMA_MATH, 4, 1e-4};
  if (name == "tf32") return {CUDNN_DATA_FLOAT, CUDNN_TENSOR_OP_MATH, 4, 1e-2};
  if (name == "f16") return {CUDNN_DATA_HALF, CUDNN_TENSOR_OP_MATH, 2, 1e-2};
  return {CUDNN_DATA_BFLOAT16, CUDNN_TENSOR_OP_MATH, 2, 5e-2};
}

// As memory holds the number.
std::array<std::byte, 4> encoded(float number, cudnnDataType_t type) {
  std::array<std::byte, 4> bytes{};
  const __half half = __float2half_rn(number);
  const __nv_bfloat16 bfloat = __float2bfloat16_rn(number);
  if (type == CUDNN_DATA_FLOAT) std::memcpy(bytes.data(), &number, sizeof number);
  if (type == CUDNN_DATA_HALF) std::memcpy(bytes.data(), &half, sizeof half);
  if (type == CUDNN_DATA_BFLOAT16) std::memcpy(bytes.data(), &bfloat, sizeof bfloat);
  return bytes;
}
float decoded(const std::byte* bytes, cudnnDataType_t type) {
  float number;
  __half half;
  __nv_bfloat16 bfloat;
  if (type == CUDNN_DATA_HALF) return std::memcpy(&half, bytes, sizeof half), __half2float(half);
  if (type == CUDNN_DATA_BFLOAT16) return std::memcpy(&bfloat, bytes, sizeof bfloat), __bfloat162float(bfloat);
  return std::memcpy(&number, bytes, sizeof number), number;
}

class DeviceMemory {
 public:
  explicit DeviceMemory(size_t bytes) { check(cudaMalloc(&data_, std::max<size_t>(bytes, 1))); }
  ~DeviceMemory() { cudaFree(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  void* get() const { return data_; }

 private:
  void* data_ = nullptr;
};

// n random numbers on the device, between -scale and scale: zeros would take less power, and run at a higher clock.
// They repeat, and the host keeps one turn of them, as they are rounded.
class Numbers {
 public:
  Numbers(int64_t n, float scale, const Precision& precision) : memory_(static_cast<size_t>(n) * precision.bytes) {
    turn_ = random_numbers(std::min<int64_t>(n, 1'000'003), scale);  // prime: no plane or channel is like the next
    std::vector<std::byte> bytes;
    for (float& number : turn_) {
      const std::array<std::byte, 4> as = encoded(number, precision.type);
      bytes.insert(bytes.end(), as.begin(), as.begin() + static_cast<int64_t>(precision.bytes));
      number = decoded(as.data(), precision.type);
    }
    const size_t all = static_cast<size_t>(n) * precision.bytes;
    for (size_t at = 0; at < all; at += bytes.size())
      check(cudaMemcpy(static_cast<std::byte*>(memory_.get()) + at, bytes.data(), std::min(bytes.size(), all - at),
                       cudaMemcpyHostToDevice));
  }
  const void* get() const { return memory_.get(); }
  double operator[](int64_t i) const { return turn_[static_cast<size_t>(i) % turn_.size()]; }

 private:
  DeviceMemory memory_;
  std::vector<float> turn_;
};

// A descriptor of cuDNN's, made and destroyed by its functions.
template <class T, cudnnStatus_t (*make)(T*), cudnnStatus_t (*destroy)(T)>
class Descriptor {
 public:
  Descriptor() { check(make(&descriptor_)); }
  ~Descriptor() { destroy(descriptor_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator T() const { return descriptor_; }

 private:
  T descriptor_;
};
using Handle = Descriptor<cudnnHandle_t, cudnnCreate, cudnnDestroy>;
using TensorDescriptor = Descriptor<cudnnTensorDescriptor_t, cudnnCreateTensorDescriptor, cudnnDestroyTensorDescriptor>;
using FilterDescriptor = Descriptor<cudnnFilterDescriptor_t, cudnnCreateFilterDescriptor, cudnnDestroyFilterDescriptor>;
using ConvolutionDescriptor =
    Descriptor<cudnnConvolutionDescriptor_t, cudnnCreateConvolutionDescriptor, cudnnDestroyConvolutionDescriptor>;

// One layer on one size of volume, in one layout, with the fastest algorithm that cuDNN has found.
class Convolution {
 public:
  Convolution(const Layer& layer, Size3 size, cudnnTensorFormat_t layout, const Precision& precision)
      : layer_(layer), size_(size), layout_(layout), precision_(precision) {
    const int ci = static_cast<int>(layer.ci), co = static_cast<int>(layer.co), k = static_cast<int>(layer.kernel);
    const std::array x{1, ci, size.d, size.h, size.w}, y{1, co, size.d, size.h, size.w}, weight{co, ci, k, k, k};
    const std::array padding{k / 2, k / 2, k / 2}, ones{1, 1, 1};
    check(cudnnSetTensorNdDescriptorEx(x_, layout, precision.type, 5, x.data()));
    check(cudnnSetTensorNdDescriptorEx(y_, layout, precision.type, 5, y.data()));
    check(cudnnSetFilterNdDescriptor(weight_, precision.type, layout, 5, weight.data()));
    check(cudnnSetConvolutionNdDescriptor(convolution_, 3, padding.data(), ones.data(), ones.data(),
                                          CUDNN_CROSS_CORRELATION, CUDNN_DATA_FLOAT));
    check(cudnnSetConvolutionMathType(convolution_, precision.math));
  }

  // Measures the algorithms and takes the fastest; returns its ms.
  float find(cudnnHandle_t handle, const void* x, const void* weight, void* y, void* workspace) {
    std::array<cudnnConvolutionFwdAlgoPerf_t, 16> found;
    int n = 0;
    check(cudnnFindConvolutionForwardAlgorithmEx(handle, x_, x, weight_, weight, convolution_, y_, y,
                                                 static_cast<int>(found.size()), &n, found.data(), workspace,
                                                 kMostWorkspace));
    for (int i = 0; i < n; i++) {  // from the fastest on
      const cudnnConvolutionFwdAlgoPerf_t& f = found[i];
      if (f.status != CUDNN_STATUS_SUCCESS || f.mathType == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION) continue;
      if (precision_.math == CUDNN_FMA_MATH && f.mathType != CUDNN_FMA_MATH) continue;
      check(cudnnSetConvolutionMathType(convolution_, f.mathType));
      algorithm_ = f.algo;
      workspace_bytes_ = f.memory;
      return f.time;
    }
    throw CudnnError("no algorithm does it");
  }

  void run(cudnnHandle_t handle, const void* x, const void* weight, void* y, void* workspace) const {
    constexpr float one = 1, zero = 0;
    check(cudnnConvolutionForward(handle, &one, x_, x, weight_, weight, convolution_, algorithm_, workspace,
                                  workspace_bytes_, &zero, y_, y));
  }

  // Largest difference of y from sums in double, in all channels of some voxels, as a share of their rms.
  double error(const Numbers& x, const Numbers& weight, const void* y) const {
    const int64_t taps = layer_.kernel * layer_.kernel * layer_.kernel, n = size_.voxels();
    double worst = 0, squares = 0;
    int64_t n_checked = 0;
    for (int64_t voxel = 0; voxel < n; voxel += std::max<int64_t>(1, n / 29))  // the first one is a corner
      for (int64_t co = 0; co < layer_.co; co++) {
        double sum = 0;
        for (int64_t ci = 0; ci < layer_.ci; ci++)
          for (int64_t tap = 0; tap < taps; tap++)
            if (const int64_t from = tapped(voxel, tap); from >= 0)
              sum += x[index(ci, layer_.ci, from, n)] * weight[co * layer_.fan_in() + index(ci, layer_.ci, tap, taps)];
        std::array<std::byte, 4> bytes{};
        const size_t at = static_cast<size_t>(index(co, layer_.co, voxel, n)) * precision_.bytes;
        check(
            cudaMemcpy(bytes.data(), static_cast<const std::byte*>(y) + at, precision_.bytes, cudaMemcpyDeviceToHost));
        worst = std::max(worst, std::abs(decoded(bytes.data(), precision_.type) - sum));
        squares += sum * sum;
        n_checked++;
      }
    return worst / std::sqrt(squares / static_cast<double>(n_checked));
  }

 private:
  // Of a number in memory.
  int64_t index(int64_t channel, int64_t channels, int64_t place, int64_t places) const {
    return layout_ == CUDNN_TENSOR_NCHW ? channel * places + place : place * channels + channel;
  }

  // The voxel that a tap of the kernel reads for this one; -1 beyond the volume.
  int64_t tapped(int64_t voxel, int64_t tap) const {
    const int64_t k = layer_.kernel, z = voxel / (size_.h * size_.w) + tap / (k * k) - k / 2;
    const int64_t y = voxel / size_.w % size_.h + tap / k % k - k / 2, x = voxel % size_.w + tap % k - k / 2;
    const bool inside = z >= 0 && z < size_.d && y >= 0 && y < size_.h && x >= 0 && x < size_.w;
    return inside ? (z * size_.h + y) * size_.w + x : -1;
  }

  Layer layer_;
  Size3 size_;
  cudnnTensorFormat_t layout_;
  Precision precision_;
  TensorDescriptor x_, y_;
  FilterDescriptor weight_;
  ConvolutionDescriptor convolution_;
  cudnnConvolutionFwdAlgo_t algorithm_{};
  size_t workspace_bytes_ = 0;
};

constexpr std::array kLayouts{CUDNN_TENSOR_NCHW, CUDNN_TENSOR_NHWC};

// What all layers read, and write where the last one did: times do not depend on values.
struct Buffers {
  Numbers x, weight;
  DeviceMemory y, workspace{kMostWorkspace};
};

// The faster of both layouts. Throws where cuDNN has no algorithm for this layer, or a wrong one.
std::unique_ptr<Convolution> fastest(cudnnHandle_t handle, const Layer& layer, Size3 size, const Precision& precision,
                                     const Buffers& b) {
  std::unique_ptr<Convolution> best;
  float best_ms = std::numeric_limits<float>::infinity();
  std::string why;
  for (const cudnnTensorFormat_t layout : kLayouts) {
    try {
      auto convolution = std::make_unique<Convolution>(layer, size, layout, precision);
      const float ms = convolution->find(handle, b.x.get(), b.weight.get(), b.y.get(), b.workspace.get());
      if (ms >= best_ms) continue;
      best_ms = ms;
      best = std::move(convolution);
    } catch (const CudnnError& e) {
      why = e.what();
    }
  }
  const std::string what = "a convolution of " + std::to_string(layer.ci) + " to " + std::to_string(layer.co) +
                           " channels, kernel " + std::to_string(layer.kernel) + ": ";
  if (!best) throw std::runtime_error(what + why);
  best->run(handle, b.x.get(), b.weight.get(), b.y.get(), b.workspace.get());
  const double difference = best->error(b.x, b.weight, b.y.get());
  if (!(difference < precision.tolerance))
    throw std::runtime_error(what + "differs from sums in double by " + std::to_string(difference) + " of their rms");
  return best;
}

// ms of each pass over all layers, sorted.
std::vector<float> time_network(const std::vector<Layer>& layers, Size3 size, const Precision& precision,
                                int n_repeats) {
  int64_t most_ci = 0, most_co = 0, most_weights = 0, most_fan_in = 0;
  for (const Layer& layer : layers) {
    most_ci = std::max(most_ci, layer.ci);
    most_co = std::max(most_co, layer.co);
    most_weights = std::max(most_weights, layer.co * layer.fan_in());
    most_fan_in = std::max(most_fan_in, layer.fan_in());
  }
  const Buffers b{{most_ci * size.voxels(), 1, precision},
                  {most_weights, 1 / std::sqrt(static_cast<float>(most_fan_in)), precision},
                  DeviceMemory(static_cast<size_t>(most_co * size.voxels()) * precision.bytes)};

  const Handle handle;
  std::map<std::tuple<int64_t, int64_t, int64_t>, std::unique_ptr<Convolution>> found;  // many layers are alike
  std::vector<const Convolution*> network;
  for (const Layer& layer : layers) {
    std::unique_ptr<Convolution>& one = found[{layer.co, layer.ci, layer.kernel}];
    if (!one) one = fastest(handle, layer, size, precision, b);
    network.push_back(one.get());
  }

  cudaEvent_t start, stop;
  check(cudaEventCreate(&start));
  check(cudaEventCreate(&stop));
  std::vector<float> ms;
  constexpr int warm_ups = 2;
  for (int repeat = -warm_ups; repeat < n_repeats; repeat++) {
    check(cudaEventRecord(start));
    for (const Convolution* layer : network)
      layer->run(handle, b.x.get(), b.weight.get(), b.y.get(), b.workspace.get());
    check(cudaEventRecord(stop));
    check(cudaEventSynchronize(stop));
    float passed = 0;
    check(cudaEventElapsedTime(&passed, start, stop));
    if (repeat >= 0) ms.push_back(passed);
  }
  check(cudaEventDestroy(start));
  check(cudaEventDestroy(stop));
  std::sort(ms.begin(), ms.end());
  return ms;
}

}  // namespace

int main(int argc, char** argv) {
  std::string model = "b4u4", precision = "fp32";
  int size = 70, device = 0, n_repeats = 10;
  CLI::App app("Times the convolutions of a network in cuDNN");
  app.add_option("--model", model, "as for srengine bench")->capture_default_str();
  app.add_option("--patch", size, "edge of the patch, voxels")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--precision", precision, "of features and weights")
      ->check(CLI::IsMember({"fp32", "tf32", "f16", "bf16"}))
      ->capture_default_str();
  app.add_option("--device", device, "the GPU's number")->check(CLI::Range(0, 1023))->capture_default_str();
  app.add_option("--repeats", n_repeats, "timed runs, after two warm-ups")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    check(cudaSetDevice(device));
    const std::vector<Layer> layers = convolutions(parse_model_name(model));
    const std::vector<float> ms = time_network(layers, {size, size, size}, precision_of(precision), n_repeats);
    const size_t version = cudnnGetVersion();
    std::puts(nlohmann::json{{"version", std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) +
                                             "." + std::to_string(version % 100)},
                             {"convolutions", layers.size()},
                             {"ms", ms[ms.size() / 2]},
                             {"min", ms.front()},
                             {"max", ms.back()}}
                  .dump()
                  .c_str());
  } catch (const std::exception& e) {
    std::fprintf(stderr, "cudnn_convs: %s\n", e.what());
    return 1;
  }
}
