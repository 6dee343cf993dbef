// The forward pass on the device. A batch of patches in flight goes through the network together: gathered from the
// volume, which has its place on the device as a whole, through one graph that is recorded once for each size of batch,
// and merged into the result. While a batch is computed, the planes that the next one reads go to the device, and those
// of the result that are done come back.
#include "engine/backends/cuda_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "engine/backends/cuda_lane.h"
#include "engine/base/threads.h"

namespace sr {
namespace {

using cuda::Api;
using cuda::Precision;

class CudaBackend : public Backend {
 public:
  CudaBackend(const Api& api, const Network& network, const BackendOptions& options, const std::vector<int>& devices)
      : api_(api), network_(network), precision_(options.precision), plan_(network, dense_layout(options.patch)) {
    for (const int device : devices) {
      require(api, api.use_device(device));  // supports() goes by the device in use
      for (const ConvLayer& conv : network.convs())
        if (const char* why = api.supports(conv.view(), precision_))
          throw Error(Status::resource_error,
                      fmt::format("GPU {} has no kernel for a layer of {} ({} to {} channels, {}x{}x{}): {}", device,
                                  network.model.name(), conv.ci, conv.co, conv.size, conv.size, conv.size, why));
    }
    for (const int device : devices) lanes_.push_back(make_lane(device, options));
  }

  void restore(const RestoreJob& job, Volume& output) override {
    const int n = job.grid.count();
    const bool two_passes = job.batch_norm == BatchNorm::scan;
    total_ = two_passes ? 2 * n : n;
    done_ = 0;
    FrozenNorms frozen;
    if (job.batch_norm == BatchNorm::running) frozen = frozen_running_norms(network_);
    each_lane([&](DeviceLane& lane) { make_room(lane, job); });
    if (two_passes) {
      ScanStatistics statistics(network_, n);
      pass(job, Norms::recorded, &statistics, nullptr);
      frozen = statistics.freeze(network_, static_cast<double>(plan_.layout.size.voxels()));
    }
    if (job.batch_norm != BatchNorm::patch) each_lane([&](DeviceLane& lane) { lane.freeze(frozen); });
    pass(job, job.batch_norm == BatchNorm::patch ? Norms::of_patch : Norms::frozen, nullptr, &output);
  }

  std::string describe() const override {
    std::string gpus;
    for (const auto& lane : lanes_) {
      cuda::DeviceInfo info{};
      api_.device_info(lane->device(), &info);
      gpus += fmt::format("{}GPU {} ({})", gpus.empty() ? "" : ", ", lane->device(), info.name);
    }
    return fmt::format("{}, {}, {} patch{} in flight", gpus, cuda::to_string(precision_), batch(),
                       batch() == 1 ? "" : "es");
  }
  int threads() const override { return static_cast<int>(lanes_.size()); }
  int batch() const override {
    int n = 0;
    for (const auto& lane : lanes_) n += lane->batch();
    return n;
  }
  int64_t buffer_bytes() const override { return batch() * patch_bytes(); }

  std::vector<LayerTime> time_layers(int repeats) override {
    DeviceLane& lane = *lanes_.front();
    lane.use();
    lane.time_layers();  // warm-up
    std::vector<std::vector<LayerTime>> runs;
    for (int i = 0; i < repeats; i++) runs.push_back(lane.time_layers());
    std::vector<LayerTime> kinds;
    for (size_t layer = 0; layer < runs.front().size(); layer++) {
      std::vector<double> ms;
      for (const auto& run : runs) ms.push_back(run[layer].ms);
      std::nth_element(ms.begin(), ms.begin() + static_cast<ptrdiff_t>(ms.size() / 2), ms.end());
      LayerTime time = runs.front()[layer];
      time.ms = ms[ms.size() / 2] / lane.batch();
      const auto same =
          std::find_if(kinds.begin(), kinds.end(), [&](const LayerTime& k) { return k.what == time.what; });
      if (same == kinds.end()) {
        kinds.push_back(time);
        continue;
      }
      same->count++;
      same->ms += time.ms;
      same->multiply_adds += time.multiply_adds;
      same->bytes += time.bytes;
    }
    return kinds;
  }

  std::optional<DeviceLimits> limits() override {
    lanes_.front()->use();
    DeviceLimits limits{};
    require(api_, api_.measure_limits(&limits.gflops, &limits.gbytes_per_s));
    return limits;
  }

 private:
  int64_t patch_bytes() const {
    return plan_.layout.size.voxels() * (plan_.image.first * element_bytes(precision_) + 2 * int64_t{sizeof(float)});
  }

  // As many patches in flight as memory has room for beside two volumes of the size of a large scan, 8 unless more are
  // asked for: 8 patches of 70^3 are 3,900 blocks a layer, several for each multiprocessor of the largest GPU.
  std::unique_ptr<DeviceLane> make_lane(int device, const BackendOptions& options) {
    cuda::DeviceInfo info{};
    require(api_, api_.device_info(device, &info));
    const int64_t free_for_patches = info.free_memory - kVolumesReserve;
    const int64_t room = options.max_memory > 0 ? std::min(options.max_memory, free_for_patches) : free_for_patches;
    const int64_t fit = room / patch_bytes();
    if (fit < 1)
      throw Error(Status::resource_error,
                  fmt::format("{} on a patch of {}x{}x{} needs {} MB of GPU memory and {} MB are {}; --patch takes a "
                              "smaller one",
                              network_.model.name(), plan_.layout.size.w, plan_.layout.size.h, plan_.layout.size.d,
                              patch_bytes() / 1000000, std::max<int64_t>(room, 0) / 1000000,
                              options.max_memory > 0 ? "allowed by --max-memory" : "free"));
    int n = static_cast<int>(std::min<int64_t>(fit, options.batch > 0 ? std::min(options.batch, 1024) : 8));
    require(api_, api_.use_device(device));
    for (;; n /= 2) try {
        return std::make_unique<DeviceLane>(api_, device, network_, plan_, precision_, n);
      } catch (const OutOfDeviceMemory&) {
        if (n == 1) throw;
      }
  }

  // The volume and its result on the lane's device; patches in flight make room for them.
  void make_room(DeviceLane& lane, const RestoreJob& job) {
    for (int n = std::max(lane.batch(), 1); n > 0; n /= 2) try {
        lane.resize(n);
        return lane.start_volume(job);
      } catch (const OutOfDeviceMemory&) {
      }
    const Size3 s = job.input.size;
    throw Error(Status::resource_error,
                fmt::format("GPU {} has no room for a volume of {}x{}x{} and its result ({} MB) beside one patch; "
                            "--patch takes a smaller one, --device cpu does without",
                            lane.device(), s.w, s.h, s.d, 2 * s.voxels() * int64_t{sizeof(float)} / 1000000));
  }

  // f for every lane, each with its device in use.
  template <class F>
  void each_lane(F f) {
    for (const auto& lane : lanes_) {
      lane->use();
      f(*lane);
    }
  }

  // Each lane takes batches of patches until none are left; with one lane this is the calling thread's work.
  void pass(const RestoreJob& job, Norms norms, ScanStatistics* statistics, Volume* output) {
    const int n = job.grid.count();
    std::atomic<int> next{0};
    std::atomic<bool> failed{false};
    std::mutex mutex;  // of progress
    on_threads(static_cast<int>(lanes_.size()), failed, [&](int thread) {
      DeviceLane& lane = *lanes_[thread];
      lane.use();
      std::vector<int> taken;
      int end = 0;  // of the batch before: its patches and all before them are of no later batch of this lane
      const auto fetch = [&] {
        lane.fetch(job, end, [&](const float* voxels, int64_t first, int64_t count) {
          if (lanes_.size() == 1)
            std::copy_n(voxels, count, output->data.begin() + first);
          else
            for (const int patch : taken) copy_inside(job.grid.interior(patch), voxels, first, count, *output);
        });
      };
      for (int first = next.fetch_add(lane.batch()); first < n && !failed; first = next.fetch_add(lane.batch())) {
        const int count = std::min(lane.batch(), n - first);
        lane.forward(job, first, count, norms);
        if (output) lane.merge(job, count);
        // Beside it: what the lane will probably take next, and what it has done.
        lane.send(job, std::min(next + lane.batch(), n));
        if (output) fetch();
        if (statistics) lane.record(first, count, *statistics);
        lane.finish();
        end = first + count;
        for (int i = first; i < end; i++) taken.push_back(i);
        const std::lock_guard lock(mutex);
        for (int k = 0; k < count; k++) {
          done_++;
          if (job.progress && !job.progress(done_, total_)) throw Error(Status::interrupted, "interrupted");
        }
      }
      end = n;
      if (output && !failed && !taken.empty()) fetch();
    });
  }

  static constexpr int64_t kVolumesReserve = int64_t{512} << 20;

  const Api& api_;
  const Network& network_;
  const Precision precision_;
  const Plan plan_;
  std::vector<std::unique_ptr<DeviceLane>> lanes_;
  int done_ = 0, total_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const Api& api, const Network& network, const BackendOptions& options,
                                           const std::vector<int>& devices) {
  return std::make_unique<CudaBackend>(api, network, options, devices);
}

}  // namespace sr
