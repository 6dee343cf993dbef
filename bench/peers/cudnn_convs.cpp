// Times the convolutions of a network in cuDNN, one after another on a GPU, and prints a JSON object:
//
//   cudnn_convs --model b4u4 [--patch 70] [--precision fp32|tf32|f16|bf16] [--device 0] [--repeats 10]
//
// The convolutions alone, as onednn_convs.cpp says: no batch-norm, ELU or concatenation. cuDNN measures its algorithms
// for each layer in both layouts, planar and channels last, and the fastest of all is taken, though two layers may then
// want their common features laid out differently. Sums are taken in float32. Each layer is first compared with the
// plain loops on a small volume, in both layouts.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <cudnn.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "bench/peers/convolutions.h"

namespace {

using namespace sr;
using namespace sr::peers;

constexpr size_t most_workspace = size_t{2} << 30;  // bytes that an algorithm may ask for

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

// `to` and `from`: one number as it lies in memory.
void encode(float number, cudnnDataType_t type, std::byte* to) {
  const __half half = __float2half_rn(number);
  const __nv_bfloat16 bfloat = __float2bfloat16_rn(number);
  if (type == CUDNN_DATA_FLOAT) std::memcpy(to, &number, sizeof number);
  if (type == CUDNN_DATA_HALF) std::memcpy(to, &half, sizeof half);
  if (type == CUDNN_DATA_BFLOAT16) std::memcpy(to, &bfloat, sizeof bfloat);
}
float decode(const std::byte* from, cudnnDataType_t type) {
  float number;
  __half half;
  __nv_bfloat16 bfloat;
  if (type == CUDNN_DATA_HALF) return std::memcpy(&half, from, sizeof half), __half2float(half);
  if (type == CUDNN_DATA_BFLOAT16) return std::memcpy(&bfloat, from, sizeof bfloat), __bfloat162float(bfloat);
  return std::memcpy(&number, from, sizeof number), number;
}

class DeviceMemory {
 public:
  explicit DeviceMemory(size_t bytes) { check(cudaMalloc(&data_, std::max<size_t>(bytes, 1))); }
  explicit DeviceMemory(const std::vector<std::byte>& bytes) : DeviceMemory(bytes.size()) {
    check(cudaMemcpy(data_, bytes.data(), bytes.size(), cudaMemcpyHostToDevice));
  }
  ~DeviceMemory() { cudaFree(data_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;
  void* get() const { return data_; }
  std::vector<std::byte> bytes(size_t n) const {
    std::vector<std::byte> result(n);
    check(cudaMemcpy(result.data(), data_, n, cudaMemcpyDeviceToHost));
    return result;
  }

 private:
  void* data_ = nullptr;
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
      : layer_(layer), layout_(layout), precision_(precision) {
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

  // [c][voxel] or, with `layout` channels last, [voxel][c]; of weights c is ci, and each co a volume of its own.
  std::vector<std::byte> encoded(const std::vector<float>& planar, int64_t volumes, int64_t channels) const {
    std::vector<std::byte> result(planar.size() * precision_.bytes);
    each(planar.size(), volumes, channels,
         [&](size_t from, size_t to) { encode(planar[from], precision_.type, &result[to * precision_.bytes]); });
    return result;
  }
  std::vector<float> decoded(const std::vector<std::byte>& bytes) const {
    std::vector<float> planar(bytes.size() / precision_.bytes);
    each(planar.size(), 1, layer_.co,
         [&](size_t to, size_t from) { planar[to] = decode(&bytes[from * precision_.bytes], precision_.type); });
    return planar;
  }

  // Measures the algorithms and takes the fastest; returns its ms.
  float find(cudnnHandle_t handle, const void* x, const void* weight, void* y, void* workspace) {
    std::array<cudnnConvolutionFwdAlgoPerf_t, 16> found;
    int n = 0;
    check(cudnnFindConvolutionForwardAlgorithmEx(handle, x_, x, weight_, weight, convolution_, y_, y,
                                                 static_cast<int>(found.size()), &n, found.data(), workspace,
                                                 most_workspace));
    for (int i = 0; i < n; i++) {  // from the fastest on
      const cudnnConvolutionFwdAlgoPerf_t& f = found[static_cast<size_t>(i)];
      if (f.status != CUDNN_STATUS_SUCCESS || f.mathType == CUDNN_TENSOR_OP_MATH_ALLOW_CONVERSION) continue;
      if (precision_.math == CUDNN_FMA_MATH && f.mathType == CUDNN_TENSOR_OP_MATH) continue;
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

 private:
  // f(planar index, index in this layout)
  template <class F>
  void each(size_t n, int64_t volumes, int64_t channels, F f) const {
    const size_t c = static_cast<size_t>(channels), v = n / static_cast<size_t>(volumes) / c;
    for (size_t i = 0; i < n; i++) {
      const size_t volume = i / (c * v), channel = i / v % c, voxel = i % v;
      f(i, layout_ == CUDNN_TENSOR_NCHW ? i : (volume * v + voxel) * c + channel);
    }
  }

  Layer layer_;
  cudnnTensorFormat_t layout_;
  Precision precision_;
  TensorDescriptor x_, y_;
  FilterDescriptor weight_;
  ConvolutionDescriptor convolution_;
  cudnnConvolutionFwdAlgo_t algorithm_{};
  size_t workspace_bytes_ = 0;
};

constexpr std::array layouts{CUDNN_TENSOR_NCHW, CUDNN_TENSOR_NHWC};

// Largest difference from the plain loops, as a share of the output's rms.
double error(cudnnHandle_t handle, const Layer& layer, cudnnTensorFormat_t layout, const Precision& precision,
             void* workspace) {
  Convolution convolution(layer, size_of_check, layout, precision);
  const auto rounded = [&precision](std::vector<float> numbers) {
    std::array<std::byte, 4> bytes{};
    for (float& number : numbers) {
      encode(number, precision.type, bytes.data());
      number = decode(bytes.data(), precision.type);
    }
    return numbers;
  };
  const std::vector<float> weight = rounded(random_weights(layer));
  const std::vector<float> x = rounded(random_numbers(layer.ci * size_of_check.voxels(), 1));
  const DeviceMemory on_device_weight(convolution.encoded(weight, layer.co, layer.ci));
  const DeviceMemory on_device_x(convolution.encoded(x, 1, layer.ci));
  const size_t y_bytes = static_cast<size_t>(layer.co * size_of_check.voxels()) * precision.bytes;
  const DeviceMemory y(y_bytes);
  convolution.find(handle, on_device_x.get(), on_device_weight.get(), y.get(), workspace);
  convolution.run(handle, on_device_x.get(), on_device_weight.get(), y.get(), workspace);
  return difference_from_ref(layer, weight, x, convolution.decoded(y.bytes(y_bytes)));
}

// The faster of both layouts. Throws where cuDNN has no algorithm for this layer, or a wrong one.
std::unique_ptr<Convolution> fastest(cudnnHandle_t handle, const Layer& layer, Size3 size, const Precision& precision,
                                     const void* x, const void* weight, void* y, void* workspace) {
  std::unique_ptr<Convolution> best;
  float best_ms = std::numeric_limits<float>::infinity();
  std::string why;
  for (const cudnnTensorFormat_t layout : layouts) {
    try {
      const double difference = error(handle, layer, layout, precision, workspace);
      if (!(difference < precision.tolerance))
        throw std::runtime_error("a convolution differs from the plain loops by " + std::to_string(difference) +
                                 " of the output's rms");
      auto convolution = std::make_unique<Convolution>(layer, size, layout, precision);
      const float ms = convolution->find(handle, x, weight, y, workspace);
      if (ms >= best_ms) continue;
      best_ms = ms;
      best = std::move(convolution);
    } catch (const CudnnError& e) {
      why = e.what();
    }
  }
  if (!best)
    throw std::runtime_error("a convolution of " + std::to_string(layer.ci) + " to " + std::to_string(layer.co) +
                             " channels, kernel " + std::to_string(layer.kernel) + ": " + why);
  return best;
}

// ms of each pass over all layers, sorted. All of them read the same numbers and write where the last one did: times do
// not depend on values.
std::vector<float> time_network(const std::vector<Layer>& layers, Size3 size, const Precision& precision,
                                int n_repeats) {
  int64_t most_ci = 0, most_co = 0, most_weights = 0;
  for (const Layer& layer : layers) {
    most_ci = std::max(most_ci, layer.ci);
    most_co = std::max(most_co, layer.co);
    most_weights = std::max(most_weights, layer.co * layer.fan_in());
  }
  // Zeros would take less power, and run at a higher clock.
  const auto random = [&precision](int64_t n) {
    const std::vector<float> numbers = random_numbers(n, 1);
    std::vector<std::byte> encoded(numbers.size() * precision.bytes);
    for (size_t i = 0; i < numbers.size(); i++) encode(numbers[i], precision.type, &encoded[i * precision.bytes]);
    return encoded;
  };
  const DeviceMemory x(random(most_ci * size.voxels())), weight(random(most_weights));
  const DeviceMemory y(static_cast<size_t>(most_co * size.voxels()) * precision.bytes), workspace(most_workspace);

  const Handle handle;
  std::vector<std::unique_ptr<Convolution>> network;
  for (const Layer& layer : layers)
    network.push_back(fastest(handle, layer, size, precision, x.get(), weight.get(), y.get(), workspace.get()));

  cudaEvent_t start, stop;
  check(cudaEventCreate(&start));
  check(cudaEventCreate(&stop));
  std::vector<float> ms;
  constexpr int warm_ups = 2;
  for (int repeat = -warm_ups; repeat < n_repeats; repeat++) {
    check(cudaEventRecord(start));
    for (const auto& layer : network) layer->run(handle, x.get(), weight.get(), y.get(), workspace.get());
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
