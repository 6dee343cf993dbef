// Times the convolutions of a network one by one:  bench_ops [--k 12] [--size 70] [--threads 2] [--repeats 5]
//                                                            [--conv winograd4] [--target AVX2] [--only "216->24"]
// Each case first computes a small volume and compares it with the plain loops. GFLOP/s count the multiply-adds of the
// direct convolution (2 x MAC), whatever the algorithm; peak is the FMA loop of kernels/fma_peak.h, in the same run.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <random>

#include "kernels/conv3d.h"
#include "kernels/cpu_target.h"
#include "kernels/fma_peak.h"
#include "kernels/memory.h"
#include "tests/support/cases.h"

namespace {

using namespace sr;

struct Layer {
  explicit Layer(const ConvCase& conv_case) : c(conv_case), layout(padded_layout(c.size)) {
    std::mt19937 random(1);
    std::uniform_real_distribution<float> uniform(-1, 1);
    const int taps = c.kernel * c.kernel * c.kernel;
    weight.resize(static_cast<size_t>(c.co) * c.ci * taps);
    for (float& v : weight) v = uniform(random) / std::sqrt(static_cast<float>(c.ci * taps));
    bias.assign(static_cast<size_t>(c.co), 0.1f);
    scale.assign(static_cast<size_t>(c.ci), 0.9f);
    shift.assign(static_cast<size_t>(c.ci), 0.1f);
    slope.assign(static_cast<size_t>(c.ci), 0.25f);
    features = HugeBuffer(static_cast<size_t>(buffer_elements(layout, c.ci + c.co)));
    for (int i = 0; i < c.ci; i++)
      for (int z = 0; z < c.size.d; z++)
        for (int y = 0; y < c.size.h; y++) {
          float* row = features.data() + i * layout.channel + z * layout.plane + y * layout.row;
          std::generate_n(row, c.size.w, [&] { return uniform(random); });
        }
  }

  ConvWeights weights() const { return {c.ci, c.co, c.kernel, weight.data(), c.bias ? bias.data() : nullptr}; }

  void run(const PackedConv& packed, ConvScratch& scratch) {
    std::vector<ChannelSums> sums(static_cast<size_t>(c.co));
    Prologue<float> prologue;
    if (c.prologue) prologue = {scale.data(), shift.data(), c.prelu ? slope.data() : nullptr};
    conv3d_forward_cpu({features.data(), layout}, {0, c.ci}, prologue, packed, {c.ci, c.co}, sums.data(), scratch);
  }

  // Largest difference from the plain loops, as a share of the output's rms.
  double error(ConvAlgorithm algorithm, ConvScratch& scratch) {
    run(PackedConv(weights(), algorithm), scratch);
    std::vector<double> f(features.data(), features.data() + features.size());
    const std::vector<double> a(scale.begin(), scale.end()), b(shift.begin(), shift.end());
    const std::vector<double> s(slope.begin(), slope.end());
    Prologue<double> prologue;
    if (c.prologue) prologue = {a.data(), b.data(), c.prelu ? s.data() : nullptr};
    conv3d_forward_ref({f.data(), layout}, {0, c.ci}, prologue, weights(), {c.ci, c.co}, nullptr);
    double worst = 0, square = 0;
    for (size_t i = static_cast<size_t>(layout.channel * c.ci); i < f.size(); i++) {
      worst = std::max(worst, std::abs(f[i] - double{features.data()[i]}));
      square += f[i] * f[i];
    }
    return worst / std::sqrt(square / static_cast<double>(c.size.voxels() * c.co));
  }

  ConvCase c;
  Layout layout;
  std::vector<float> weight, bias, scale, shift, slope;
  HugeBuffer features;
};

double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Processor time of all threads: on a busy machine it shows what the wall clock hides.
double cpu_now() {
  return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

}  // namespace

int main(int argc, char** argv) {
  int k = 12, size = 70, n_threads = 2, n_repeats = 5;
  std::string algorithm_name = "winograd4", target, only;
  CLI::App app("Times the convolutions of mDCSRN and of the baselines one by one");
  app.add_option("--k", k, "growth rate of mDCSRN");
  app.add_option("--size", size, "edge of the patch, voxels");
  app.add_option("--threads", n_threads, "threads");
  app.add_option("--repeats", n_repeats, "timed runs of each case");
  app.add_option("--conv", algorithm_name, "direct, winograd2 or winograd4");
  app.add_option("--target", target, "SIMD target; the best one if not given");
  app.add_option("--only", only, "only the cases whose line contains this, e.g. \"216->24\"");
  CLI11_PARSE(app, argc, argv);
  if (!force_cpu_target(target)) {
    std::fprintf(stderr, "bench_ops: this processor has no target %s\n", target.c_str());
    return 2;
  }
  ConvAlgorithm algorithm = ConvAlgorithm::winograd4;
  for (const ConvAlgorithm a : all_algorithms())
    if (to_string(a) == algorithm_name) algorithm = a;

  const double peak = measure_fma_peak_gflops(n_threads);
  std::printf("%s, %d threads, FMA peak %.0f GFLOP/s, %s\n", cpu_target().c_str(), n_threads, peak,
              to_string(algorithm).c_str());
  ConvScratch scratch(n_threads);
  std::vector<ConvCase> cases = layers_of_network({size, size, size}, k);
  const std::vector<ConvCase> baselines = layers_of_baselines({size, size, size});
  cases.insert(cases.end(), baselines.begin(), baselines.end());
  for (const ConvCase& c : cases) {
    if (to_string(c).find(only) == std::string::npos) continue;
    ConvCase small = c;
    small.size = {9, 10, 22};
    const double error = Layer(small).error(algorithm, scratch);
    if (!(error < 1e-4)) {
      std::printf("%s: WRONG, off by %.1e of the output's rms\n", to_string(small).c_str(), error);
      return 1;
    }
    Layer layer(c);
    const PackedConv packed(layer.weights(), algorithm);
    std::vector<double> ms, cpu_ms;
    for (int i = 0; i < n_repeats + 1; i++) {
      const double begin = now(), cpu_begin = cpu_now();
      layer.run(packed, scratch);
      if (i == 0) continue;  // warm-up
      ms.push_back(1e3 * (now() - begin));
      cpu_ms.push_back(1e3 * (cpu_now() - cpu_begin) / n_threads);
    }
    std::sort(ms.begin(), ms.end());
    std::sort(cpu_ms.begin(), cpu_ms.end());
    const double median = ms[ms.size() / 2];
    const double gflop = 2e-9 * c.ci * c.co * c.kernel * c.kernel * c.kernel * static_cast<double>(c.size.voxels());
    std::printf("%-42s %8.2f ms (%.2f .. %.2f), cpu %.2f  %6.0f GFLOP/s  %4.2f of peak  error %.0e\n",
                to_string(c).c_str(), median, ms.front(), ms.back(), cpu_ms.front(), gflop / median * 1e3,
                gflop / median * 1e3 / peak, error);
  }
}
