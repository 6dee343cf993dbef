// The whole network through the CUDA backend, under emulation or on a GPU (tests/support/cuda_test_api.h): against
// PyTorch in float64, and what must not change a result.
#include <fmt/core.h>

#include <tuple>

#include "engine/backends/cuda_backend.h"
#include "engine/images/intensity.h"
#include "kernels/emulation/settings.h"
#include "tests/engine/networks/golden_networks.h"
#include "tests/support/cuda_test_api.h"

using namespace sr;

namespace {

// A volume through the CUDA backend.
class CudaRun {
 public:
  CudaRun(const Weights& weights, const RestoreOptions& options, const std::vector<int>& devices = {0})
      : network_(make_network(weights)),
        normalization_(weights.normalization),
        options_(options),
        backend_(make_cuda_backend(api(), *network_, options.backend, devices)) {}

  Volume restore(const Volume& input, BatchNorm batch_norm, const Progress& progress = {}) {
    const PatchGrid grid = make_patch_grid(input.size, options_.backend.patch, options_.margin);
    Volume output(input.size);
    std::fill(output.data.begin(), output.data.end(), std::numeric_limits<float>::quiet_NaN());
    const Intensity intensity = measure_intensity(normalization_, input);
    backend_->restore({grid, input, intensity, options_.pad, batch_norm, progress}, output);
    return output;
  }
  const Backend& backend() const { return *backend_; }

 private:
  std::unique_ptr<Network> network_;
  Normalization normalization_;
  RestoreOptions options_;
  std::unique_ptr<Backend> backend_;
};

Weights golden_weights(const std::string& name) {
  return load_weights(golden_folder / (name + ".bin"));
}

// Those that the device has kernels for; of the others, a line that says why not.
std::vector<std::string> variants_on_device() {
  std::vector<std::string> names;
  for (const std::string& name : golden_variants()) try {
      CudaRun(golden_weights(name), small_patches(BackendKind::cpu));
      names.push_back(name);
    } catch (const Error& e) {
      WARN("skipped: " << name << ": " << e.what());
    }
  return names;
}

}  // namespace

TEST_CASE("on the device, every variant and batch-norm mode equals PyTorch in float64") {
  emulation::settings().os_threads = 2;
  double most = 0;
  std::string where;
  int n = 0;
  for (const std::string& name : variants_on_device()) {
    CudaRun run(golden_weights(name), small_patches(BackendKind::cpu));
    for (const BatchNorm mode : {BatchNorm::patch, BatchNorm::running, BatchNorm::scan}) {
      const Volume result = run.restore(to_volume(golden_volume(name, 0)), mode);
      const double error = worst_error(result, golden_volume(name, 1 + static_cast<int>(mode)));
      INFO(name << ", batch-norm " << to_string(mode));
      CHECK(error < 2e-5);  // as the CPU's direct convolution
      n++;
      if (error > most) most = error, where = name + " " + to_string(mode);
    }
  }
  emulation::settings().os_threads = 1;
  CHECK(n == 3 * 17);
  fmt::print("cuda: largest error {:.1e} of the rms ({}), {:.0f} % of the tolerance\n", most, where, 100 * most / 2e-5);
}

TEST_CASE("on tensor cores the network equals PyTorch in float64 but for the rounding of features and weights") {
  emulation::settings().os_threads = 2;
  for (const auto& [precision, name, unit] : {std::tuple{cuda::Precision::tf32, "tf32", 0x1p-11},
                                              {cuda::Precision::f16, "f16", 0x1p-11},
                                              {cuda::Precision::bf16, "bf16", 0x1p-8}}) {
    double most = 0;
    for (const char* variant :
         {"b1u2-k12", "b2u2-k4-r", "fsrcnn-d8-s4-m2", "srresnet-b2-f8", "srdensenet-b1u3-k8-residual"}) {
      const Weights weights = golden_weights(variant);
      RestoreOptions options = small_patches(BackendKind::cpu);
      options.backend.precision = precision;
      CudaRun run(weights, options);
      // A layer rounds its weights, its activated inputs and its outputs, each by up to `unit` of their size, that is
      // unit / sqrt(3) rms; batch-norm keeps sizes, so the layers' errors, which are independent, add in quadrature to
      // sqrt(layers) unit. Five times that for the largest of 1,170 voxels.
      const double limit = 5 * std::sqrt(static_cast<double>(make_network(weights)->convs().size())) * unit;
      for (const BatchNorm mode : {BatchNorm::patch, BatchNorm::scan}) {
        if (mode == BatchNorm::scan && precision != cuda::Precision::f16) continue;  // two passes: once is enough
        const Volume result = run.restore(to_volume(golden_volume(variant, 0)), mode);
        const double error = worst_error(result, golden_volume(variant, 1 + static_cast<int>(mode)));
        INFO(name << ", " << variant << ", batch-norm " << to_string(mode));
        CHECK(error < limit);
        CHECK(error > 1e-5);  // or it was float32
        most = std::max(most, error / limit);
      }
    }
    fmt::print("cuda {}: largest error {:.0f} % of the tolerance\n", name, 100 * most);
  }
  emulation::settings().os_threads = 1;
}

TEST_CASE("on the device, batches and several devices do not change a bit") {
  const Weights weights = random_weights(parse_model_name("b2u2,k=4"), 1);
  const Volume input = wavy({9, 20, 9});
  RestoreOptions options = small_patches(BackendKind::cpu);
  emulation::settings().device_count = 2;
  int n_devices = 0;
  api().device_count(&n_devices);
  for (const BatchNorm mode : {BatchNorm::patch, BatchNorm::scan}) {
    std::vector<float> first;
    for (const int batch : {1, 3, 16}) {
      options.backend.batch = batch;
      const Volume result = CudaRun(weights, options).restore(input, mode);
      if (first.empty()) first = result.data;
      CHECK(result.data == first);
    }
    options.backend.batch = 2;
    if (n_devices > 1) CHECK(CudaRun(weights, options, {1, 0}).restore(input, mode).data == first);
  }
  emulation::settings().device_count = 1;
}

TEST_CASE("on the device, a second and larger volume through the same buffers equals the first through fresh ones") {
  const Weights weights = random_weights(parse_model_name("b1u2,k=4"), 1);
  const RestoreOptions options = small_patches(BackendKind::cpu);
  CudaRun used(weights, options);
  used.restore(wavy({4, 5, 6}), BatchNorm::patch);
  const Volume input = wavy({11, 9, 7});
  CHECK(used.restore(input, BatchNorm::patch).data == CudaRun(weights, options).restore(input, BatchNorm::patch).data);
}

TEST_CASE("on the device, a second volume with statistics of the scan equals the first") {
  // The second one finds its graphs recorded, those of the first pass and those with frozen norms.
  for (const std::string& name : variants_on_device()) {
    const Weights weights = golden_weights(name);
    if (make_network(weights)->norms().empty()) continue;
    CudaRun run(weights, small_patches(BackendKind::cpu));
    const Volume input = to_volume(golden_volume(name, 0));
    INFO(name);
    const Volume first = run.restore(input, BatchNorm::scan);
    CHECK(run.restore(input, BatchNorm::scan).data == first.data);
  }
}

TEST_CASE("a volume that does not fit beside the patches in flight makes them fewer, and is an error beside one") {
  if (!device_is_emulated()) return;
  const Weights weights = random_weights(parse_model_name("b1u2,k=4"), 1);
  const RestoreOptions options = small_patches(BackendKind::cpu);
  const Volume small = wavy({9, 9, 9}), large = wavy({20, 20, 24});
  const Volume expected = CudaRun(weights, options).restore(large, BatchNorm::patch);
  const emulation::Settings all = emulation::settings();

  CudaRun run(weights, options);
  REQUIRE(run.backend().batch() == 8);
  emulation::settings().device_memory = emulation::device_bytes_allocated() + 2 * 4 * 9600 - 1000;
  CHECK(run.restore(large, BatchNorm::patch).data == expected.data);
  CHECK(run.backend().batch() == 4);

  // Again and again: an attempt that failed leaves nothing half made behind.
  emulation::settings() = all;
  CudaRun another(weights, options);
  emulation::settings().device_memory = emulation::device_bytes_allocated() + 100;
  const Volume larger = wavy({40, 50, 60});
  for (int attempt = 0; attempt < 2; attempt++) CHECK_THROWS_AS(another.restore(larger, BatchNorm::patch), Error);
  CHECK(another.backend().batch() == 1);
  const Volume restored = another.restore(small, BatchNorm::patch);
  emulation::settings() = all;
  CHECK(restored.data == CudaRun(weights, options).restore(small, BatchNorm::patch).data);
}

TEST_CASE("patches in flight that find no room when they are made fewer find it later") {
  if (!device_is_emulated()) return;
  const Weights weights = random_weights(parse_model_name("b1u2,k=4"), 1);
  const RestoreOptions options = small_patches(BackendKind::cpu);
  const Volume input = wavy({9, 9, 9});
  const Volume expected = CudaRun(weights, options).restore(input, BatchNorm::patch);
  const emulation::Settings all = emulation::settings();
  for (int n = 0; n < 8; n++) {  // of the 8 buffers of a batch, so many can be made again
    INFO(n << " buffers");
    CudaRun run(weights, options);
    REQUIRE(run.backend().batch() == 8);
    emulation::settings().device_memory = emulation::device_bytes_allocated() + 100;
    emulation::settings().allocations_left = n;
    for (int attempt = 0; attempt < 2; attempt++) CHECK_THROWS_AS(run.restore(input, BatchNorm::patch), Error);
    CHECK(run.backend().batch() == 0);
    emulation::settings() = all;
    CHECK(run.restore(input, BatchNorm::patch).data == expected.data);
    CHECK(run.backend().batch() == 1);
  }
}

TEST_CASE("on the device, padding by reflection equals the host's") {
  const Weights weights = random_weights(parse_model_name("b1u1,k=4"), 1);
  RestoreOptions options = small_patches(BackendKind::cpu);
  options.pad = Pad::reflect;
  options.batch_norm = BatchNorm::patch;
  const Volume input = wavy({5, 3, 9});
  const Volume device = CudaRun(weights, options).restore(input, BatchNorm::patch);
  const std::unique_ptr<Network> network = make_network(weights);
  const PatchGrid grid = make_patch_grid(input.size, options.backend.patch, options.margin);
  Volume host(input.size);
  make_backend(*network, options.backend)
      ->restore({grid, input, measure_intensity(weights.normalization, input), Pad::reflect, BatchNorm::patch, {}},
                host);
  CHECK(worst_error(device, {host.data.begin(), host.data.end()}) < 1e-4);  // of winograd4
}

TEST_CASE("on the device, a run can be stopped and leaves no memory allocated") {
  const Weights weights = random_weights(parse_model_name("b1u1,k=4"), 1);
  RestoreOptions options = small_patches(BackendKind::cpu);
  options.backend.batch = 2;
  const size_t before = emulation::device_bytes_allocated();
  {
    CudaRun run(weights, options);
    int calls = 0;
    try {
      run.restore(wavy({9, 9, 9}), BatchNorm::patch, [&](int, int) { return ++calls < 3; });
      FAIL("the run went on");
    } catch (const Error& e) {
      CHECK(e.status == Status::interrupted);
    }
    CHECK(calls == 3);
  }
  CHECK(emulation::device_bytes_allocated() == before);  // 0 on a GPU
}

TEST_CASE("too little device memory halves the batch, and is an error where one patch does not fit") {
  const Weights weights = random_weights(parse_model_name("b1u2,k=4"), 1);
  RestoreOptions options = small_patches(BackendKind::cpu);
  const Volume input = wavy({9, 9, 9});
  const Volume expected = CudaRun(weights, options).restore(input, BatchNorm::patch);
  const size_t all = emulation::settings().device_memory;
  const int64_t patch = CudaRun(weights, options).backend().buffer_bytes() / 8;

  options.backend.max_memory = 3 * patch + patch / 2;
  CudaRun three(weights, options);
  CHECK(three.backend().batch() == 3);
  CHECK(three.restore(input, BatchNorm::patch).data == expected.data);

  options.backend.max_memory = patch / 2;
  CHECK_THROWS_AS(CudaRun(weights, options), Error);
  emulation::settings().device_memory = all;
}

TEST_CASE("a network that the device has no kernels for is refused by layer") {
  for (const auto& [model, layer] : {std::pair{"b1u1,k=6", "12 to 6 channels"}, {"fsrcnn,d=8,s=5", "8 to 5 channels"}})
    try {
      CudaRun run(random_weights(parse_model_name(model), 1), small_patches(BackendKind::cpu));
      FAIL("it was taken");
    } catch (const Error& e) {
      CHECK(e.status == Status::resource_error);
      CHECK_THAT(e.what(), ContainsSubstring(layer) && ContainsSubstring("no multiples of 4"));
    }
}

TEST_CASE("a precision that the device has no tensor cores for is refused by name") {
  const Weights weights = random_weights(parse_model_name("b1u1,k=4"), 1);
  if (!device_is_emulated()) return;
  RestoreOptions options = small_patches(BackendKind::cpu);
  options.backend.precision = cuda::Precision::bf16;
  const emulation::Settings newest = emulation::settings();
  emulation::settings().major = 7;
  emulation::settings().minor = 5;
  try {
    CudaRun run(weights, options);
    FAIL("it was taken");
  } catch (const Error& e) {
    CHECK(e.status == Status::resource_error);
    CHECK_THAT(e.what(), ContainsSubstring("bf16 needs compute capability 8.0"));
  }
  emulation::settings() = newest;
}
