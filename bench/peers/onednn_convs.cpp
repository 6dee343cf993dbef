// Times the convolutions of a network in oneDNN, one after another, and prints a JSON object:
//
//   onednn_convs --model b4u4 [--patch 70] [--threads 2] [--repeats 5]
//
// The convolutions alone: each has its input in the layout that oneDNN asks for, and leaves its output in the one that
// it likes to write. What comes between them in the network is not computed: batch-norm, ELU, concatenation, and
// reorders where one layer's output is not laid out as the next one's input. So this is less than the network takes in
// oneDNN, however well the rest were fused. Each layer is first compared with the plain loops on a small volume.
#include <omp.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "bench/peers/convolutions.h"
#include "kernels/conv3d.h"

namespace {

using namespace sr;
using namespace sr::peers;
using dnnl::memory;

// Small and odd, for a comparison with the plain loops.
constexpr Size3 kSizeOfCheck{5, 6, 9};

// [co][ci][z][y][x]; outputs are about as large as inputs.
std::vector<float> random_weights(const Layer& l) {
  return random_numbers(l.co * l.fan_in(), 1 / std::sqrt(static_cast<float>(l.fan_in())));
}

// Largest difference of y [co][z][y][x] from what the plain loops make of x [ci][z][y][x], both of size_of_check, as a
// share of the output's rms.
double difference_from_ref(const Layer& l, const std::vector<float>& weight, const std::vector<float>& x,
                           const std::vector<float>& y) {
  const int ci = static_cast<int>(l.ci), co = static_cast<int>(l.co);
  std::vector<double> features(x.begin(), x.end());
  features.resize(x.size() + y.size());
  conv3d_forward_ref({features.data(), dense_layout(kSizeOfCheck)}, {0, ci}, Prologue<double>{},
                     {ci, co, static_cast<int>(l.kernel), weight.data(), nullptr}, {ci, co}, nullptr);
  double worst = 0, squares = 0;
  for (size_t i = 0; i < y.size(); i++) {
    const double expected = features[x.size() + i];
    worst = std::max(worst, std::abs(y[i] - expected));
    squares += expected * expected;
  }
  return worst / std::sqrt(squares / static_cast<double>(y.size()));
}

dnnl::convolution_forward::primitive_desc describe(const dnnl::engine& engine, const Layer& l, Size3 size) {
  const auto any = [](const memory::dims& dims) {
    return memory::desc(dims, memory::data_type::f32, memory::format_tag::any);
  };
  const memory::desc x = any({1, l.ci, size.d, size.h, size.w}), y = any({1, l.co, size.d, size.h, size.w});
  const memory::desc weight = any({l.co, l.ci, l.kernel, l.kernel, l.kernel});
  const memory::dims strides(3, 1), padding(3, l.kernel / 2);
  constexpr auto inference = dnnl::prop_kind::forward_inference;
  constexpr auto algorithm = dnnl::algorithm::convolution_auto;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, inference, algorithm, x, weight, y, strides, padding, padding};
#else
  return {{inference, algorithm, x, weight, y, strides, padding, padding}, engine};
#endif
}

class OneDnn {
 public:
  // The numbers, in row-major order, in the layout that is asked for.
  memory arranged(std::vector<float>& numbers, const memory::dims& dims, const memory::desc& as) {
    memory plain = plain_memory(numbers, dims), result(as, engine);
    dnnl::reorder(plain, result).execute(stream, plain, result);
    stream.wait();
    return result;
  }
  memory plain_memory(std::vector<float>& numbers, const memory::dims& dims) {
    return {{dims, memory::data_type::f32, memory::format_tag::abcde}, engine, numbers.data()};
  }

  // Largest difference from the plain loops, as a share of the output's rms.
  double error(const Layer& l) {
    constexpr Size3 size = kSizeOfCheck;
    const auto pd = describe(engine, l, size);
    std::vector<float> weight = random_weights(l), x = random_numbers(l.ci * size.voxels(), 1);
    std::vector<float> y(static_cast<size_t>(l.co * size.voxels()));
    memory result(pd.dst_desc(), engine), plain = plain_memory(y, {1, l.co, size.d, size.h, size.w});
    dnnl::convolution_forward(pd).execute(
        stream, {{DNNL_ARG_SRC, arranged(x, {1, l.ci, size.d, size.h, size.w}, pd.src_desc())},
                 {DNNL_ARG_WEIGHTS, arranged(weight, {l.co, l.ci, l.kernel, l.kernel, l.kernel}, pd.weights_desc())},
                 {DNNL_ARG_DST, result}});
    dnnl::reorder(result, plain).execute(stream, result, plain);
    stream.wait();

    return difference_from_ref(l, weight, x, y);
  }

  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
};

struct Ready {
  dnnl::convolution_forward primitive;
  std::unordered_map<int, memory> arguments;
};

}  // namespace

int main(int argc, char** argv) {
  std::string model = "b4u4";
  int size = 70, n_threads = omp_get_max_threads(), n_repeats = 5;
  CLI::App app("Times the convolutions of a network in oneDNN");
  app.add_option("--model", model, "as for srengine bench")->capture_default_str();
  app.add_option("--patch", size, "edge of the patch, voxels")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--threads", n_threads, "threads")->check(CLI::Range(1, 1024))->capture_default_str();
  app.add_option("--repeats", n_repeats, "timed runs, after a warm-up")
      ->check(CLI::Range(1, 10000))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  omp_set_num_threads(n_threads);

  OneDnn onednn;
  double error = 0;
  size_t x_bytes = 0, y_bytes = 0;
  std::vector<dnnl::convolution_forward::primitive_desc> descriptions;
  const std::vector<Layer> layers = convolutions(parse_model_name(model));
  for (const Layer& l : layers) {
    error = std::max(error, onednn.error(l));
    descriptions.push_back(describe(onednn.engine, l, {size, size, size}));
    x_bytes = std::max(x_bytes, descriptions.back().src_desc().get_size());
    y_bytes = std::max(y_bytes, descriptions.back().dst_desc().get_size());
  }
  if (!(error < 1e-4)) {
    std::fprintf(stderr, "onednn_convs: a convolution differs from the plain loops by %.1e of the output's rms\n",
                 error);
    return 1;
  }

  // All layers read the same numbers, and write where the last one did: times do not depend on values, and in the
  // network too inputs come from memory rather than caches.
  std::vector<float> x = random_numbers(static_cast<int64_t>(x_bytes / sizeof(float)), 1), y(y_bytes / sizeof(float));
  std::vector<Ready> network;
  for (size_t i = 0; i < layers.size(); i++) {
    const auto& pd = descriptions[i];
    const Layer& l = layers[i];
    std::vector<float> weight = random_weights(l);
    network.push_back(
        {dnnl::convolution_forward(pd),
         {{DNNL_ARG_SRC, memory(pd.src_desc(), onednn.engine, x.data())},
          {DNNL_ARG_WEIGHTS, onednn.arranged(weight, {l.co, l.ci, l.kernel, l.kernel, l.kernel}, pd.weights_desc())},
          {DNNL_ARG_DST, memory(pd.dst_desc(), onednn.engine, y.data())}}});
  }

  std::vector<double> ms;
  for (int repeat = -1; repeat < n_repeats; repeat++) {
    const auto start = std::chrono::steady_clock::now();
    for (const Ready& layer : network) layer.primitive.execute(onednn.stream, layer.arguments);
    onednn.stream.wait();
    const std::chrono::duration<double, std::milli> passed = std::chrono::steady_clock::now() - start;
    if (repeat >= 0) ms.push_back(passed.count());
  }
  std::sort(ms.begin(), ms.end());
  const dnnl_version_t& version = *dnnl::version();
  std::puts(
      nlohmann::json{{"version", CLI::detail::join(std::vector<int>{version.major, version.minor, version.patch}, ".")},
                     {"convolutions", layers.size()},
                     {"error", error},
                     {"ms", ms[ms.size() / 2]},
                     {"min", ms.front()},
                     {"max", ms.back()}}
          .dump()
          .c_str());
}
