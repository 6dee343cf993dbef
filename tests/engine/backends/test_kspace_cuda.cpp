// k-space cut on the device, under emulation or on a GPU (tests/support/cuda_test_api.h): against float64 NumPy and the
// CPU. The emulation's FFT is a stand-in (kernels/emulation/cufft_types.h): what is tested there is everything around
// it.
#include <fmt/core.h>

#include <cmath>
#include <complex>
#include <numbers>

#include "engine/backends/kspace_cuda.h"
#include "engine/base/status.h"
#include "kernels/cuda/cufft_library.h"
#include "kernels/emulation/settings.h"
#include "tests/engine/images/kspace_golden.h"
#include "tests/support/cuda_test_api.h"
#include "tests/support/volume_check.h"
#include "tests/tools/command_checks.h"

using namespace sr;
using test::filled;
using test::holds;
using test::TemporaryFolder;
using test::Words;

namespace {

const bool emulated = !std::getenv("SRENGINE_TEST_GPU");
// Of the largest voxel. What is asked of a GPU; in the emulation transforms are in double, and between the stages
// spectra and images are rounded to float32, each by 6e-8 of itself.
const double tolerance = emulated ? 1e-6 : 1e-5;

Volume pattern(Size3 size, double unit = 1) {  // asymmetric, of both signs, without a period
  return filled(size, [unit](int z, int y, int x) {
    return unit * (std::sin(0.9 * x + 0.4 * y * y) * std::cos(0.5 * z + 0.1 * x * z) + (x * y + 3 * z) % 11 - 2);
  });
}

Volume cut(const Volume& high, const Factors& factors, int64_t slab_samples = int64_t{1} << 22) {
  return truncate_kspace_cuda(api(), 0, high, factors, slab_samples);
}

// Sets the emulated device, and everything back at the end.
class EmulatedDevice {
 public:
  EmulatedDevice() : before_(emulation::settings()) {}
  ~EmulatedDevice() { emulation::settings() = before_; }
  emulation::Settings* operator->() const { return &emulation::settings(); }

 private:
  emulation::Settings before_;
};

// An environment variable of the programs that are started.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { ::setenv(name, value.c_str(), 1); }
  ~Variable() { ::unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

// The sentence of an Error with this status.
template <class F>
std::string sentence_of(Status status, F f) {
  try {
    f();
  } catch (const Error& e) {
    CHECK(e.status == status);
    return e.what();
  }
  FAIL("it went well");
  return "";
}

struct Shape {
  Size3 size;
  Factors factors;  // along i, j, k
};

}  // namespace

TEST_CASE("on the device, degradation equals the float64 reference") {
  double most = 0;
  for (const test::KspaceCase& c : test::kKspaceCases) {
    const std::string name = c.name;
    INFO(name);
    const Volume low = cut(test::kspace_golden(name + "_image"), c.factors);
    const test::Difference d = test::difference(low, test::kspace_golden(name + "_low"));
    INFO(d.where);
    CHECK(d.relative <= tolerance);
    most = std::max(most, d.relative);
  }
  fmt::print("cuda: largest error {:.1e} of the largest voxel, {:.0f} % of the tolerance\n", most,
             100 * most / tolerance);
}

TEST_CASE("on the device, every size, factor and slab gives what the CPU gives") {
  const Shape shape = GENERATE(values<Shape>({
      {{4, 6, 8}, {2, 1, 1}},  // one axis
      {{4, 6, 8}, {1, 2, 1}},
      {{4, 6, 8}, {1, 1, 2}},
      {{5, 7, 9}, {2, 2, 1}},  // odd
      {{5, 7, 9}, {2, 1, 2}},
      {{5, 7, 9}, {1, 2, 2}},
      {{5, 7, 9}, {2, 2, 2}},
      {{13, 23, 37}, {2, 3, 1.5}},      // prime
      {{13, 31, 8}, {1.05, 1.1, 1.3}},  // fractions; 8 / 1.05 is 8 again
      {{6, 10, 12}, {12, 10, 6}},       // to one sample
      {{1, 9, 10}, {2.5, 1.5, 1}},      // one voxel thick
      {{9, 1, 10}, {2.5, 1, 1.5}},
      {{9, 10, 1}, {1, 2, 4}},
      {{1, 1, 11}, {3, 1, 1}},
      {{1, 11, 1}, {1, 3, 1}},
      {{11, 1, 1}, {1, 1, 3}},
  }));
  const int64_t slab = GENERATE(1, 100, 1 << 22);  // a line and a slice at a time; parts of either; all at once
  CAPTURE(shape.size.w, shape.size.h, shape.size.d, shape.factors[0], shape.factors[1], shape.factors[2], slab);
  const Volume high = pattern(shape.size);
  test::check_close(cut(high, shape.factors, slab), truncate_kspace(high, shape.factors), tolerance);
}

TEST_CASE("on the device, images in very small and very large units are cut like others") {
  const double unit = GENERATE(1e-25, 1e25);
  CAPTURE(unit);
  const Volume high = pattern({5, 8, 9}, unit);
  test::check_close(cut(high, {2, 2, 2}), truncate_kspace(high, {2, 2, 2}), tolerance);
}

TEST_CASE("on the device, the order of threads and late streams change nothing") {
  const Volume high = pattern({5, 12, 14});
  const Volume expected = cut(high, {2, 1.5, 2}, 200);
  EmulatedDevice device;
  device->order = emulation::Order::random;
  device->deferred_streams = GENERATE(false, true);
  device->os_threads = 2;
  test::check_close(cut(high, {2, 1.5, 2}, 200), expected, emulated ? 0 : tolerance);
}

TEST_CASE("where nothing is cut the device is left alone, and the magnitude is the CPU's") {
  EmulatedDevice device;
  device->cufft = false;
  device->device_count = 0;
  const Volume high = pattern({3, 4, 5});
  const Factors factors = GENERATE(Factors{1, 1, 1}, Factors{1.05, 1.05, 1.05});  // the latter: M = N all the same
  CHECK(truncate_kspace_cuda(api(), 0, high, factors).data == truncate_kspace(high, factors).data);
}

TEST_CASE("the memory of the device is bounded as documented, and free again") {
  if (!emulated) return;
  EmulatedDevice device;
  const Volume high = pattern({20, 24, 28});
  const int64_t slab = 700, voxels = high.size.voxels();
  const auto fits = [&](const Factors& factors, int64_t volumes) {
    // The stand-in asks for 8 bytes for each sample of a slab.
    device->device_memory = static_cast<size_t>(volumes + (32 + 8) * slab);
    const Volume low = cut(high, factors, slab);
    CHECK(emulation::device_bytes_allocated() == 0);
    CHECK(emulation::cufft_plans() == 0);
    test::check_close(low, truncate_kspace(high, factors), tolerance);
  };
  fits({2, 2, 1}, 0);
  fits({1, 1.04, 1}, 0);
  fits({2, 2, 2}, voxels / 4 * 8 + voxels / 8 * 4);
  fits({2, 1, 4}, voxels / 2 * 8 + voxels / 8 * 4);
  fits({1, 1, 2}, voxels * 4 + voxels / 2 * 4);
}

TEST_CASE("too little memory, at whichever allocation, is one sentence and leaves nothing behind") {
  if (!emulated) return;
  EmulatedDevice device;
  const Factors factors = GENERATE(Factors{2, 2, 1}, Factors{2, 2, 2}, Factors{1, 1, 2});
  const Volume high = pattern({6, 7, 9});
  int n_failures = 0;
  for (device->device_memory = 0;; device->device_memory += 64) {
    try {
      cut(high, factors);
      break;
    } catch (const Error& e) {
      n_failures++;
      REQUIRE(e.status == Status::resource_error);
      REQUIRE(holds(e.what(), "9x7x6 voxels takes more than the 0 MB of memory that GPU 0 has free"));
    }
    REQUIRE(emulation::device_bytes_allocated() == 0);
    REQUIRE(emulation::cufft_plans() == 0);
  }
  CHECK(n_failures > 10);
}

TEST_CASE("what cannot be done on the device is refused") {
  const Volume high = pattern({4, 5, 6});
  sentence_of(Status::bad_usage, [&] { cut(high, {0.5, 1, 1}); });
  sentence_of(Status::bad_usage, [&] { cut(high, {7, 1, 1}); });
  sentence_of(Status::bad_usage, [&] { cut(high, {1, NAN, 1}); });
  CHECK(holds(sentence_of(Status::resource_error, [&] { truncate_kspace_cuda(api(), 99, high, {2, 2, 1}); }), "GPU"));
  if (!emulated) return;
  EmulatedDevice device;
  device->cufft = false;
  CHECK(holds(sentence_of(Status::resource_error, [&] { cut(high, {2, 2, 1}); }), "no cuFFT"));
}

TEST_CASE("the stand-in reads strides, distances and null layouts as cuFFT's documentation has them") {
  if (!emulated) return;
  const char* why_not = nullptr;
  const cuda::CufftLibrary& fft = *cuda::cufft_library(&why_not);
  constexpr int n = 5, batch = 3;
  // Sample x of transform b: input[b idist + x istride]. Without inembed: input[b n + x], whatever else is given.
  struct Layout {
    bool given;
    int stride, distance;
    int at(int b, int x) const { return given ? b * distance + x * stride : b * n + x; }
  };
  const Layout in = GENERATE(Layout{true, 1, n}, Layout{true, batch, 1}, Layout{true, 2, 11}, Layout{false, 4, 4});
  const Layout out = GENERATE(Layout{true, 1, n}, Layout{true, batch, 1}, Layout{true, 3, 16}, Layout{false, 9, 2});
  const int direction = GENERATE(as<int>(), CUFFT_FORWARD, CUFFT_INVERSE);
  std::vector<cuda::Complex> host(64), result(64);
  for (int i = 0; i < 64; i++) host[i] = {static_cast<float>(std::sin(i * i)), static_cast<float>(std::cos(3 * i))};

  void *from = nullptr, *to = nullptr, *work = nullptr;
  constexpr int64_t n_bytes = 64 * int64_t{sizeof(cuda::Complex)};
  for (void** p : {&from, &to, &work}) REQUIRE(api().allocate(p, n_bytes) == cuda::Result::ok);
  REQUIRE(api().upload(from, host.data(), n_bytes, nullptr) == cuda::Result::ok);
  cufftHandle plan = 0;
  int length = n;
  size_t n_work_bytes = 0;
  REQUIRE(fft.create(&plan) == CUFFT_SUCCESS);
  REQUIRE(fft.set_auto_allocation(plan, 0) == CUFFT_SUCCESS);
  REQUIRE(fft.make_plan_many(plan, 1, &length, in.given ? &length : nullptr, in.stride, in.distance,
                             out.given ? &length : nullptr, out.stride, out.distance, CUFFT_C2C, batch,
                             &n_work_bytes) == CUFFT_SUCCESS);
  REQUIRE(n_work_bytes <= static_cast<size_t>(n_bytes));
  CHECK(fft.exec_c2c(plan, static_cast<cufftComplex*>(from), static_cast<cufftComplex*>(to), direction) ==
        CUFFT_EXEC_FAILED);  // no work area yet
  REQUIRE(fft.set_work_area(plan, work) == CUFFT_SUCCESS);
  REQUIRE(fft.exec_c2c(plan, static_cast<cufftComplex*>(from), static_cast<cufftComplex*>(to), direction) ==
          CUFFT_SUCCESS);
  REQUIRE(api().download(result.data(), to, n_bytes, nullptr) == cuda::Result::ok);
  REQUIRE(fft.destroy(plan) == CUFFT_SUCCESS);
  CHECK(fft.destroy(plan) == CUFFT_INVALID_PLAN);
  for (void* p : {from, to, work}) api().release(p);

  for (int b = 0; b < batch; b++)
    for (int k = 0; k < n; k++) {
      std::complex<double> sum = 0;
      for (int x = 0; x < n; x++) {
        const cuda::Complex v = host[in.at(b, x)];
        sum += std::complex<double>(v.re, v.im) * std::polar(1.0, direction * 2 * std::numbers::pi * k * x / n);
      }
      const cuda::Complex v = result[out.at(b, k)];
      REQUIRE(std::abs(sum - std::complex<double>(v.re, v.im)) < 1e-6);
    }
}

// ---- the command; the plugin it loads is the emulation's ----

TEST_CASE("degrade --device cuda writes what --device cpu writes") {
  const Variable plugin("SRENGINE_CUDA_PLUGIN", SR_EMULATED_PLUGIN);
  const TemporaryFolder folder;
  test::write_scan(folder / "head.nii", pattern({7, 11, 13}, 100));
  const std::string four_d = SR_TEST_DATA "/golden/nifti/four_d.nii.gz";  // 4x3x2, five volumes
  const auto degraded = [&](const std::string& device, const std::string& scan, const Words& more) {
    CHECK(test::done(folder, test::joined({"degrade", scan, "-o", "low.nii", "--device", device}, more)).err.empty());
    std::vector<Volume> volumes;
    ScanReader reader(folder / "low.nii");
    for (int64_t t = 0; t < reader.info().n_volumes; t++) volumes.push_back(reader.read(t));
    return volumes;
  };
  const std::string scan = GENERATE_COPY(values<std::string>({"head.nii", four_d}));
  const Words more = GENERATE(values<Words>({{},
                                             {"--grid", "native", "--factor", "1.5x3x2"},
                                             {"--method", "sinc", "--factor", "1x1x2"},
                                             {"--noise", "5", "--seed", "3", "--factor", "2x1x1"}}));
  const std::vector<Volume> cpu = degraded("cpu", scan, more);
  for (const char* device : {"cuda", "cuda:0", "auto"}) {
    const std::vector<Volume> gpu = degraded(device, scan, more);
    REQUIRE(gpu.size() == cpu.size());
    for (size_t t = 0; t < cpu.size(); t++) test::check_close(gpu[t], cpu[t], 1e-6);
  }
}

TEST_CASE("degrade --device cuda without a GPU, a plugin, cuFFT or enough memory: exit code 6; auto: the CPU") {
  const TemporaryFolder folder;
  const std::string four_d = SR_TEST_DATA "/golden/nifti/four_d.nii.gz";
  const auto words = [&](const std::string& device, const std::string& output) {
    return Words{"degrade", four_d, "-o", output, "--device", device};
  };
  test::done(folder, words("cpu", "cpu.nii"));
  const auto cpu_takes_over = [&](const std::string& note) {
    const test::Outcome o = test::done(folder, words("auto", "auto.nii"));
    CHECK(test::read_text(folder / "auto.nii") == test::read_text(folder / "cpu.nii"));
    CHECK(holds(o.err, note));
    CHECK(std::count(o.err.begin(), o.err.end(), '\n') == (note.empty() ? 0 : 1));  // for five volumes
  };
  {
    const Variable plugin("SRENGINE_CUDA_PLUGIN", "none");
    cpu_takes_over("");
    test::refused(folder, words("cuda", "low.nii"), 6, "no GPU can be used: SRENGINE_CUDA_PLUGIN says none; --device");
  }
  {
    const Variable plugin("SRENGINE_CUDA_PLUGIN", (folder / "absent.so").string());
    cpu_takes_over("");
    test::refused(folder, words("cuda:0", "low.nii"), 6, "absent.so does not exist");
  }
  const Variable plugin("SRENGINE_CUDA_PLUGIN", SR_EMULATED_PLUGIN);
  {
    const Variable devices("SR_EMULATION_DEVICES", "0");
    cpu_takes_over("");
    test::refused(folder, words("cuda", "low.nii"), 6, "no GPU can be used: ");
  }
  {
    const Variable cufft("SR_EMULATION_CUFFT", "missing");
    cpu_takes_over("no cuFFT; the CPU takes over");
    test::refused(folder, words("cuda", "low.nii"), 6, "no cuFFT; --device cpu does without");
  }
  {
    const Variable memory("SR_EMULATION_MEMORY", "100");
    cpu_takes_over("GPU 0 has free; the CPU takes over");
    test::refused(folder, words("cuda", "low.nii"), 6, "GPU 0 has free; --device cpu does without");
  }
  test::refused(folder, words("cuda:7", "low.nii"), 6, "there is no usable GPU 7");
  test::refused(folder, words("cuda:0,1", "low.nii"), 2, "degrade works on one GPU");
  test::refused(folder, words("gpu", "low.nii"), 2, "--device gpu");
}
