// Slabs of a volume on their way to the device and back, under emulation or on a GPU (tests/support/cuda_test_api.h).
// Under emulation streams run as late as they may, so that whatever does not wait for a copy, or takes its memory too
// early, sees other numbers.
#include "engine/backends/slab_copies.h"

#include <numeric>
#include <utility>
#include <vector>

#include "engine/backends/cuda_backend.h"
#include "engine/images/intensity.h"
#include "engine/networks/net_mdcsrn.h"
#include "kernels/emulation/settings.h"
#include "tests/engine/networks/golden_networks.h"
#include "tests/support/cuda_test_api.h"
#include "tests/support/on_device.h"

using namespace sr;

namespace {

struct DeferredStreams {
  DeferredStreams() { emulation::settings().deferred_streams = true; }
  ~DeferredStreams() { emulation::settings() = before; }
  const emulation::Settings before = emulation::settings();
};

struct TestStream {
  TestStream() { REQUIRE(api().create_stream(&handle) == cuda::Result::ok); }
  ~TestStream() { api().destroy_stream(handle); }
  cuda::Stream handle = nullptr;
};

Volume counting(Size3 size, float first) {
  Volume volume(size);
  std::iota(volume.data.begin(), volume.data.end(), first);
  return volume;
}

constexpr Size3 kOdd{7, 3, 5};  // planes of 15 voxels
constexpr int64_t kPieces[] = {1, 4, 15, 31, 1000};

// The first n voxels as work on the stream sees them.
std::vector<float> seen(const float* device, int64_t n, cuda::Stream stream) {
  std::vector<float> host(static_cast<size_t>(n));
  REQUIRE(api().download(host.data(), device, n * int64_t{sizeof(float)}, stream) == cuda::Result::ok);
  REQUIRE(api().synchronize(stream) == cuda::Result::ok);
  return host;
}

std::vector<float> first_planes(const Volume& volume, int planes) {
  return {volume.data.begin(), volume.data.begin() + planes * volume.size.h * volume.size.w};
}

// The volume through a small network.
struct Run {
  explicit Run(const cuda::Api& table = api(), int batch = 0, const std::vector<int>& devices = {0}) {
    options.backend.batch = batch;
    backend = make_cuda_backend(table, network, options.backend, devices);
  }
  Volume restore(const Volume& input, BatchNorm mode, Pad pad = Pad::zero, const Progress& progress = {}) {
    Volume output(input.size);
    std::fill(output.data.begin(), output.data.end(), std::numeric_limits<float>::quiet_NaN());
    const PatchGrid grid = make_patch_grid(input.size, options.backend.patch, options.margin);
    backend->restore({grid, input, {0.5, 2}, pad, mode, progress}, output);
    return output;
  }
  RestoreOptions options = small_patches(BackendKind::cpu);
  Mdcsrn network{random_weights(parse_model_name("b1u1,k=4"), 1)};
  std::unique_ptr<Backend> backend;
};

constexpr Size3 kFourLayers{20, 8, 9};  // of 4 patches each

}  // namespace

TEST_CASE("a stream that waits sees what was sent so far, in pieces of any size") {
  const DeferredStreams deferred;
  const TestStream stream;
  const OnDevice<float> device(std::vector<float>(static_cast<size_t>(kOdd.voxels()), -1.0f));
  for (const int64_t piece : kPieces) {
    INFO("pieces of " << piece);
    SlabUpload upload(api(), piece);
    for (const float first : {1.0f, 1000.0f}) {  // a second volume through the same memory
      const Volume volume = counting(kOdd, first);
      upload.start(volume, device.data());
      for (const int planes : {1, 1, 4, 3, 7}) {
        upload.send(planes);
        upload.hold(stream.handle);
        CHECK(seen(device.data(), planes * 15, stream.handle) == first_planes(volume, planes));
      }
    }
    // One that is given up half way, then another.
    const Volume given_up = counting(kOdd, 2000), volume = counting(kOdd, 3000);
    upload.start(given_up, device.data());
    upload.send(5);
    upload.start(volume, device.data());
    upload.send(7);
    upload.hold(stream.handle);
    CHECK(seen(device.data(), 105, stream.handle) == volume.data);
  }
}

TEST_CASE("a stream that does not wait for slabs is seen under emulation") {
  if (!device_is_emulated()) return;
  const DeferredStreams deferred;
  const TestStream stream;
  const OnDevice<float> device(std::vector<float>(static_cast<size_t>(kOdd.voxels()), -1.0f));
  SlabUpload upload(api(), 15);
  const Volume volume = counting(kOdd, 1);
  upload.start(volume, device.data());
  upload.send(7);
  const std::vector<float> early = seen(device.data(), 105, stream.handle);
  CHECK(std::count(early.begin(), early.end(), -1.0f) == 2 * 15);  // both pieces that are on their way
}

TEST_CASE("slabs come back in order, each voxel once, in pieces of any size") {
  const DeferredStreams deferred;
  const Volume volume = counting(kOdd, 1);
  const OnDevice<float> device(volume.data);
  for (const int64_t piece : kPieces) {
    INFO("pieces of " << piece);
    SlabDownload download(api(), piece);
    for (int time = 0; time < 2; time++) {
      std::vector<float> got;
      download.start(kOdd, device.data());
      for (const int planes : {0, 2, 2, 1, 6, 7, 7}) {
        download.fetch(planes, [&](const float* voxels, int64_t first, int64_t n) {
          CHECK(first == static_cast<int64_t>(got.size()));
          CHECK(n <= piece);
          got.insert(got.end(), voxels, voxels + n);
        });
        CHECK(static_cast<int64_t>(got.size()) >= planes * 15);
      }
      CHECK(got == volume.data);
    }
  }
}

TEST_CASE("of a piece, whatever its ends, the voxels inside a box are copied and no others") {
  const Volume from = counting(kOdd, 1);
  for (const Box& box : {Box{0, 7, 0, 3, 0, 5}, {2, 5, 1, 3, 1, 4}, {6, 7, 2, 3, 4, 5}, {0, 1, 0, 1, 0, 1}})
    for (int64_t first = 0; first < kOdd.voxels(); first++)
      for (int64_t n = 1; n <= kOdd.voxels() - first; n++) {
        Volume to(kOdd), expected(kOdd);
        copy_inside(box, from.data.data() + first, first, n, to);
        for (int z = box.z0; z < box.z1; z++)
          for (int y = box.y0; y < box.y1; y++)
            for (int x = box.x0; x < box.x1; x++) {
              const int64_t i = (int64_t{z} * kOdd.h + y) * kOdd.w + x;
              if (i >= first && i < first + n) expected.at(z, y, x) = from.at(z, y, x);
            }
        if (to.data != expected.data) FAIL("voxels " << first << " to " << first + n);
      }
  SUCCEED();
}

TEST_CASE("copies beside the patches do not change a bit: batches, devices, passes, padding, another volume") {
  const Volume input = wavy(kFourLayers), smaller = wavy({13, 9, 5});
  for (const auto& [mode, pad] : {std::pair{BatchNorm::patch, Pad::reflect}, {BatchNorm::scan, Pad::zero}}) {
    const std::vector<float> expected = Run(api(), 16).restore(input, mode, pad).data;
    const std::vector<float> expected_smaller = Run(api(), 16).restore(smaller, mode, pad).data;
    const DeferredStreams deferred;
    emulation::settings().device_count = 2;
    int n_devices = 0;
    api().device_count(&n_devices);
    for (const int batch : {1, 3, 16})
      for (const auto& devices : {std::vector<int>{0}, {1, 0}}) {
        if (static_cast<int>(devices.size()) > n_devices) continue;
        INFO(to_string(mode) << ", batches of " << batch << ", " << devices.size() << " devices");
        Run run(api(), batch, devices);
        CHECK(run.restore(input, mode, pad).data == expected);
        CHECK(run.restore(smaller, mode, pad).data == expected_smaller);
        CHECK(run.restore(input, mode, pad).data == expected);
      }
  }
}

TEST_CASE("a run that was stopped leaves nothing behind for the next one") {
  const Volume input = wavy(kFourLayers), other = wavy({19, 9, 8});
  const std::vector<float> expected = Run().restore(other, BatchNorm::scan).data;
  const DeferredStreams deferred;
  for (const int most : {1, 16, 31}) {  // of 32 patches in two passes
    Run run(api(), 3);
    CHECK_THROWS_AS(run.restore(input, BatchNorm::scan, Pad::zero, [&](int done, int) { return done < most; }), Error);
    CHECK(run.restore(other, BatchNorm::scan).data == expected);
  }
}

namespace {

// What a run asked of the device, in its order.
struct Call {
  enum Kind { upload, download, launch } kind;
  int64_t n_bytes;
  cuda::Stream stream;
};
std::vector<Call> calls;

}  // namespace

TEST_CASE("a batch waits for the planes that it reads, and those that are done come back beside the next one") {
  cuda::Api noted = api();
  noted.upload = [](void* device, const void* host, int64_t n_bytes, cuda::Stream stream) {
    calls.push_back({Call::upload, n_bytes, stream});
    return api().upload(device, host, n_bytes, stream);
  };
  noted.download = [](void* host, const void* device, int64_t n_bytes, cuda::Stream stream) {
    calls.push_back({Call::download, n_bytes, stream});
    return api().download(host, device, n_bytes, stream);
  };
  noted.launch = [](cuda::Graph graph, cuda::Stream stream) {
    calls.push_back({Call::launch, 0, stream});
    return api().launch(graph, stream);
  };
  const Volume input = wavy(kFourLayers);
  const PatchGrid grid = make_patch_grid(input.size, {8, 8, 8}, 1);
  REQUIRE(grid.count() == 16);
  for (const int batch : {1, 3, 4, 7, 16}) {
    INFO("batches of " << batch);
    Run run(noted, batch);
    calls.clear();
    run.restore(input, BatchNorm::patch);
    const auto first_launch =
        std::find_if(calls.begin(), calls.end(), [](const Call& c) { return c.kind == c.launch; });
    REQUIRE(first_launch != calls.end());
    const cuda::Stream computing = first_launch->stream;
    const int64_t plane = int64_t{kFourLayers.h} * kFourLayers.w * int64_t{sizeof(float)};
    int64_t up = 0, down = 0;
    int end = 0, end_before = 0;  // patches, of the batch that was launched last and the one before it
    for (const Call& call : calls) {
      if (call.kind == Call::launch) {
        CHECK(down == plane * grid.planes_done(end_before));
        end_before = end;
        end = std::min(end + batch, grid.count());
        CHECK(up == plane * grid.planes_read(end));
      } else if (call.stream != computing) {
        (call.kind == Call::upload ? up : down) += call.n_bytes;
      }
    }
    CHECK(end == grid.count());
    CHECK(up == plane * kFourLayers.d);
    CHECK(down == plane * kFourLayers.d);
  }
}
