// The forward pass on the device. A batch of patches in flight goes through the network together: gathered from the
// volume, which lies on the device as a whole, through one graph that is recorded once for each size of batch, and
// merged into the result, which is copied back when all patches are in it.
#include "engine/cuda_backend.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <thread>

#include "engine/device_array.h"
#include "engine/net_mdcsrn.h"

namespace sr {
namespace {

using cuda::Api;
using cuda::Precision;

int64_t element_bytes(Precision precision) {
  return precision == Precision::f16 || precision == Precision::bf16 ? 2 : 4;
}

// What a layer keeps on the device.
struct DeviceConv {
  DeviceArray<char> weights;
  DeviceArray<float> bias;
};
struct DeviceNorm {
  DeviceArray<float> gamma, beta;
  DeviceArray<float> frozen_scale, frozen_shift;  // of this volume, where statistics are frozen
};

// Where the norms of a pass get their statistics.
enum class Norms { of_patch, recorded, frozen };

// One GPU: weights, buffers of a batch, and the patches that are its own.
class DeviceLane : public PatchOps {
 public:
  DeviceLane(const Api& api, int device, const Mdcsrn& network, const Plan& plan, Precision precision, int batch)
      : api_(api), device_(device), network_(network), plan_(plan), precision_(precision) {
    use();
    require(api_, api_.create_stream(&stream_));
    try {
      upload_weights();
      allocate_batch(batch);
      warm_up();
    } catch (...) {
      api_.destroy_stream(stream_);
      throw;
    }
  }

  ~DeviceLane() override {
    api_.use_device(device_);
    destroy_graphs();
    api_.destroy_stream(stream_);
  }

  // Fewer patches in flight, so that something else finds room.
  void shrink() {
    destroy_graphs();
    allocate_batch(batch_ / 2);
  }

  int device() const { return device_; }
  int batch() const { return batch_; }

  // The calling thread works with this lane's device from here on.
  void use() const { require(api_, api_.use_device(device_)); }

  void start_volume(const RestoreJob& job) {
    const int64_t n = job.input.size.voxels();
    if (volume_.size() < n || result_.size() < n) {
      volume_ = {};  // before the larger one is asked for
      result_ = {};
      volume_ = DeviceArray<float>(api_, n);
      result_ = DeviceArray<float>(api_, n);
    }
    volume_.upload(job.input.data.data(), n, stream_);
  }

  void freeze(const FrozenNorms& frozen) {
    std::vector<float> scale, shift;
    for (size_t i = 0; i < norms_.size(); i++) {
      scale.assign(frozen[i].scale.begin(), frozen[i].scale.end());
      shift.assign(frozen[i].shift.begin(), frozen[i].shift.end());
      norms_[i].frozen_scale.upload(scale.data(), static_cast<int64_t>(scale.size()), stream_);
      norms_[i].frozen_shift.upload(shift.data(), static_cast<int64_t>(shift.size()), stream_);
      require(api_, api_.synchronize(stream_));  // scale and shift are this loop's
    }
  }

  // Patches first .. first + n - 1, n <= batch().
  void forward(const RestoreJob& job, int first, int n, Norms norms) {
    origins_host_.resize(static_cast<size_t>(n));
    for (int i = 0; i < n; i++) origins_host_[static_cast<size_t>(i)] = job.grid.origin(first + i);
    origins_.upload(origins_host_.data(), n, stream_);
    require(api_, api_.gather_patches(transfer(job, volume_, image_, n), stream_));
    require(api_, api_.launch(graph(n, norms), stream_));
  }

  void merge(const RestoreJob& job, int n) {
    require(api_, api_.merge_patches(transfer(job, result_, output_, n), stream_));
  }

  void record(int first, int n, ScanStatistics& statistics) {
    std::vector<ChannelSums> sums(static_cast<size_t>(n * sums_stride_));
    sums_.download(sums.data(), static_cast<int64_t>(sums.size()), stream_);
    finish();
    for (int i = 0; i < n; i++)
      for (const NormLayer* norm : network_.norms())
        statistics.record(first + i, *norm,
                          sums.data() + i * sums_stride_ + sums_of_norm_[static_cast<size_t>(norm->id)]);
  }

  void finish() { require(api_, api_.synchronize(stream_)); }

  // A forward pass on whatever the buffers hold, timed layer by layer: milliseconds of the whole batch in `ms`, the
  // rest of one patch.
  std::vector<LayerTime> time_layers() {
    n_ = batch_;
    pass_ = Norms::of_patch;
    next_scratch_sums_ = scratch_sums_ = plan_.n_channels;
    std::vector<LayerTime> layers;
    timed_ = &layers;
    try {
      mdcsrn_forward(network_, plan_, *this);
    } catch (...) {
      timed_ = nullptr;
      throw;
    }
    timed_ = nullptr;
    return layers;
  }

  void download_result(Volume& output) {
    result_.download(output.data.data(), output.size.voxels(), stream_);
    finish();
  }

 private:
  void upload_weights() {
    const auto upload = [&](const std::vector<float>& host) {
      DeviceArray<float> array(api_, static_cast<int64_t>(host.size()));
      array.upload(host.data(), static_cast<int64_t>(host.size()), stream_);
      return array;
    };
    for (const ConvLayer* conv : network_.convs()) {
      const ConvWeights shape = conv->view();
      const int64_t n_bytes = api_.conv3d_packed_bytes(shape, precision_);
      std::vector<char> packed(static_cast<size_t>(n_bytes));
      api_.conv3d_pack(shape, precision_, packed.data());
      DeviceConv device{DeviceArray<char>(api_, n_bytes), {}};
      device.weights.upload(packed.data(), n_bytes, stream_);
      if (!conv->bias.empty()) device.bias = upload(conv->bias);
      finish();  // packed goes
      convs_.push_back(std::move(device));
    }
    for (const NormLayer* norm : network_.norms())
      norms_.push_back({upload(norm->gamma), upload(norm->beta), DeviceArray<float>(api_, norm->n_channels),
                        DeviceArray<float>(api_, norm->n_channels)});
    finish();
  }

  void destroy_graphs() {
    for (auto& [key, graph] : graphs_) api_.destroy_graph(graph);
    graphs_.clear();
  }

  // One patch of whatever the buffers hold, outside of a graph: code is loaded when a kernel is launched first, which
  // is not to happen while a graph is recorded.
  void warm_up() {
    n_ = 1;
    pass_ = Norms::of_patch;
    next_scratch_sums_ = scratch_sums_ = plan_.n_channels;
    mdcsrn_forward(network_, plan_, *this);
    finish();
  }

  void allocate_batch(int batch) {
    for (DeviceArray<float>* array : {&image_, &output_, &partial_sums_, &scale_, &shift_}) *array = {};
    features_ = {};
    sums_ = {};
    origins_ = {};
    // Statistics of a channel live until their last reader, a first pass over the scan. Scratch channels are written by
    // several layers, so each of these has sums of its own behind those of the buffer's channels.
    const int64_t voxels = plan_.layout.size.voxels();
    sums_stride_ = plan_.n_channels;
    for (const std::vector<Mdcsrn::Unit>& block : network_.blocks)
      for (const Mdcsrn::Unit& unit : block)
        if (unit.bottleneck) sums_stride_ += unit.bottleneck->conv.co;
    if (network_.reconstruction) sums_stride_ += network_.reconstruction->compress.co;
    sums_of_norm_.assign(norms_.size(), 0);
    int64_t widest_norm = 0, most_parts = 0;
    for (const NormLayer* norm : network_.norms()) widest_norm = std::max<int64_t>(widest_norm, norm->n_channels);
    for (const ConvLayer* conv : network_.convs())
      most_parts = std::max<int64_t>(
          most_parts, int64_t{conv->co} * api_.conv3d_parts(conv->view(), precision_, plan_.layout.size));

    affine_stride_ = widest_norm;
    features_ = DeviceArray<char>(api_, batch * feature_channels() * voxels * element_bytes(precision_));
    image_ = DeviceArray<float>(api_, batch * voxels);
    output_ = DeviceArray<float>(api_, batch * voxels);
    partial_sums_ = DeviceArray<float>(api_, batch * most_parts * 2);
    sums_ = DeviceArray<ChannelSums>(api_, batch * sums_stride_);
    scale_ = DeviceArray<float>(api_, batch * affine_stride_);
    shift_ = DeviceArray<float>(api_, batch * affine_stride_);
    origins_ = DeviceArray<Origin>(api_, batch);
    batch_ = batch;
  }

  // Image and output have arrays of their own.
  int64_t feature_channels() const { return plan_.image.first; }

  cuda::PatchTransfer transfer(const RestoreJob& job, const DeviceArray<float>& volume, const DeviceArray<float>& image,
                               int n) const {
    return {.volume = volume.data(),
            .volume_size = job.input.size,
            .origins = origins_.data(),
            .n_patches = n,
            .patch = plan_.layout.size,
            .image = image.data(),
            .intensity = job.intensity,
            .pad = job.pad,
            .margin = job.grid.margin};
  }

  // The forward pass of n patches as a graph; recorded when first asked for.
  cuda::Graph graph(int n, Norms norms) {
    const auto [at, fresh] = graphs_.try_emplace({n, norms}, nullptr);
    if (!fresh) return at->second;
    n_ = n;
    pass_ = norms;
    next_scratch_sums_ = scratch_sums_ = plan_.n_channels;
    cuda::Graph recorded = nullptr;
    try {
      require(api_, api_.begin_capture(stream_));
      mdcsrn_forward(network_, plan_, *this);
      require(api_, api_.end_capture(stream_, &recorded));
    } catch (...) {
      api_.end_capture(stream_, &recorded);  // or the stream would stay in capture
      if (recorded) api_.destroy_graph(recorded);
      graphs_.erase(at);
      throw;
    }
    return at->second = recorded;
  }

  // ---- PatchOps, while a graph is recorded ----

  void conv3d(Channels x, const ConvLayer& conv, Channels y) override {
    timed(x, conv, y, "", [&] { forward_conv(x, conv, y, {}); });
  }

  void norm_elu_conv3d(Channels x, const NormConv& layer, Channels y) override {
    timed(x, layer.conv, y, ", norm, ELU", [&] { forward_norm_elu_conv(x, layer, y); });
  }

  // Calls `run`; with timed_ set, between two events, the layer's figures behind it.
  template <class F>
  void timed(Channels x, const ConvLayer& conv, Channels y, const char* before, F run) {
    if (!timed_) return run();
    const EventPair events(api_);
    require(api_, api_.record(events.start, stream_));
    run();
    require(api_, api_.record(events.stop, stream_));
    finish();
    float ms = 0;
    require(api_, api_.elapsed_ms(events.start, events.stop, &ms));
    const double voxels = static_cast<double>(plan_.layout.size.voxels());
    const auto bytes = [&](Channels c) {
      return c.count * static_cast<double>(c.count == 1 ? int64_t{sizeof(float)} : element_bytes(precision_));
    };
    timed_->push_back({fmt::format("{0}x{0}x{0} {1} -> {2}{3}", conv.size, conv.ci, conv.co, before), 1, double{ms},
                       voxels * conv.ci * conv.co * conv.size * conv.size * conv.size, voxels * (bytes(x) + bytes(y))});
  }

  struct EventPair {
    explicit EventPair(const Api& table) : api(table) {
      require(api, api.create_event(&start));
      require(api, api.create_event(&stop));
    }
    ~EventPair() {
      api.destroy_event(start);
      api.destroy_event(stop);
    }
    const Api& api;
    cuda::Event start = nullptr, stop = nullptr;
  };

  void forward_norm_elu_conv(Channels x, const NormConv& layer, Channels y) {
    const DeviceNorm& norm = norms_[static_cast<size_t>(layer.norm.id)];
    const int64_t sums = x.first == plan_.scratch.first ? scratch_sums_ : x.first;
    // With frozen norms no sums are gathered, and a layer's place among them is not walked.
    if (pass_ != Norms::frozen) sums_of_norm_[static_cast<size_t>(layer.norm.id)] = sums;
    if (pass_ == Norms::frozen) {
      forward_conv(x, layer.conv, y, {norm.frozen_scale.data(), norm.frozen_shift.data(), 0});
      return;
    }
    require(api_, api_.norm_affine(sums_.data() + sums, sums_stride_, n_, x.count,
                                   static_cast<double>(plan_.layout.size.voxels()), layer.norm.eps, norm.gamma.data(),
                                   norm.beta.data(), scale_.data(), shift_.data(), affine_stride_, stream_));
    forward_conv(x, layer.conv, y, {scale_.data(), shift_.data(), affine_stride_});
  }

  void add(Channels, Channels) override {  // the only one: image onto output
    require(api_, api_.add_images(image_.data(), output_.data(), n_ * plan_.layout.size.voxels(), stream_));
  }

  cuda::Operand operand(Channels c) const {
    if (c.first == plan_.image.first) return {{}, {0, 1}, image_.data()};
    if (c.first == plan_.output.first) return {{}, {0, 1}, output_.data()};
    const int64_t stride = feature_channels() * plan_.layout.size.voxels();
    return {{features_.data(), plan_.layout.size, n_, stride}, c, nullptr};
  }

  void forward_conv(Channels x, const ConvLayer& conv, Channels y, cuda::DevicePrologue prologue) {
    const DeviceConv& device = convs_[static_cast<size_t>(conv.id)];
    const bool gather_sums = pass_ != Norms::frozen && y.first != plan_.output.first;
    require(api_, api_.conv3d_forward({.precision = precision_,
                                       .shape = conv.view(),
                                       .packed_weights = device.weights.data(),
                                       .bias = device.bias.data(),
                                       .x = operand(x),
                                       .y = operand(y),
                                       .prologue = prologue,
                                       .partial_sums = gather_sums ? partial_sums_.data() : nullptr},
                                      stream_));
    if (!gather_sums) return;
    int64_t sums = y.first;
    if (y.first == plan_.scratch.first) {
      sums = scratch_sums_ = next_scratch_sums_;
      next_scratch_sums_ += y.count;
    }
    require(api_, api_.add_parts(partial_sums_.data(), n_, conv.co,
                                 api_.conv3d_parts(conv.view(), precision_, plan_.layout.size), sums_.data() + sums,
                                 sums_stride_, stream_));
  }

  const Api& api_;
  const int device_;
  const Mdcsrn& network_;
  const Plan& plan_;
  const Precision precision_;
  int batch_ = 0;
  cuda::Stream stream_ = nullptr;
  std::map<std::pair<int, Norms>, cuda::Graph> graphs_;

  std::vector<DeviceConv> convs_;  // by id
  std::vector<DeviceNorm> norms_;  // by id
  DeviceArray<char> features_;
  DeviceArray<float> image_, output_;  // [batch][voxel]
  DeviceArray<float> partial_sums_;    // of the layer at work
  DeviceArray<ChannelSums> sums_;      // [batch][sums_stride_]
  DeviceArray<float> scale_, shift_;   // [batch][affine_stride_], of the layer at work
  DeviceArray<Origin> origins_;        // [batch]
  DeviceArray<float> volume_, result_;
  std::vector<Origin> origins_host_;
  int64_t sums_stride_ = 0, affine_stride_ = 0;
  std::vector<int64_t> sums_of_norm_;  // of a norm's first channel in a row of sums_

  std::vector<LayerTime>* timed_ = nullptr;

  // Of the graph that is being recorded.
  int n_ = 0;
  Norms pass_ = Norms::of_patch;
  int64_t scratch_sums_ = 0, next_scratch_sums_ = 0;
};

class CudaBackend : public Backend {
 public:
  CudaBackend(const Api& api, const Mdcsrn& network, const BackendOptions& options, const std::vector<int>& devices)
      : api_(api), network_(network), precision_(options.precision), plan_(network, dense_layout(options.patch)) {
    for (const int device : devices) {
      require(api, api.use_device(device));  // supports() goes by the device in use
      for (const ConvLayer* conv : network.convs())
        if (const char* why = api.supports(conv->view(), precision_))
          throw Error(Status::device_trouble,
                      fmt::format("GPU {} has no kernel for a layer of {} ({} to {} channels, {}x{}x{}): {}", device,
                                  network.model.name(), conv->ci, conv->co, conv->size, conv->size, conv->size, why));
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
    return fmt::format("{}, {}, {} patch{} in flight", gpus, to_string(precision_), batch(), batch() == 1 ? "" : "es");
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
    const int64_t free_for_patches = info.free_memory - volumes_reserve;
    const int64_t room = options.max_memory > 0 ? std::min(options.max_memory, free_for_patches) : free_for_patches;
    const int64_t fit = room / patch_bytes();
    if (fit < 1)
      throw Error(Status::device_trouble,
                  fmt::format("{} on a patch of {}x{}x{} needs {} MB of GPU memory and {} MB are {}; --patch takes a "
                              "smaller one",
                              network_.model.name(), plan_.layout.size.w, plan_.layout.size.h, plan_.layout.size.d,
                              patch_bytes() / 1000000, std::max<int64_t>(room, 0) / 1000000,
                              options.max_memory > 0 ? "allowed by --max-memory" : "free"));
    int n = static_cast<int>(std::min<int64_t>(fit, options.batch > 0 ? std::min(options.batch, 1024) : 8));
    for (;; n /= 2) try {
        return std::make_unique<DeviceLane>(api_, device, network_, plan_, precision_, n);
      } catch (const OutOfDeviceMemory&) {
        if (n == 1) throw;
      }
  }

  // The volume and its result on the lane's device; patches in flight make room for them.
  void make_room(DeviceLane& lane, const RestoreJob& job) {
    for (;;) try {
        return lane.start_volume(job);
      } catch (const OutOfDeviceMemory&) {
        const Size3 s = job.input.size;
        if (lane.batch() == 1)
          throw Error(
              Status::device_trouble,
              fmt::format("GPU {} has no room for a volume of {}x{}x{} and its result ({} MB) beside one patch; "
                          "--patch takes a smaller one, --device cpu does without",
                          lane.device(), s.w, s.h, s.d, 2 * s.voxels() * int64_t{sizeof(float)} / 1000000));
        lane.shrink();
      }
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
    std::vector<std::vector<std::pair<int, int>>> taken(lanes_.size());  // first patch, number of patches
    std::exception_ptr failure;
    std::mutex mutex;  // of failure, progress and output
    const auto work = [&](size_t i) {
      try {
        DeviceLane& lane = *lanes_[i];
        lane.use();
        for (int first = next.fetch_add(lane.batch()); first < n; first = next.fetch_add(lane.batch())) {
          const int count = std::min(lane.batch(), n - first);
          lane.forward(job, first, count, norms);
          if (statistics) lane.record(first, count, *statistics);
          if (output) lane.merge(job, count);
          lane.finish();
          taken[i].emplace_back(first, count);
          const std::lock_guard lock(mutex);
          for (int k = 0; k < count; k++) {
            done_++;
            if (job.progress && !job.progress(done_, total_)) throw Error(Status::interrupted, "interrupted");
          }
        }
        if (output && !failed) collect(job, lane, taken[i], *output, mutex);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        failed = true;
        next = n;
      }
    };
    std::vector<std::thread> threads;
    for (size_t i = 1; i < lanes_.size(); i++) threads.emplace_back(work, i);
    work(0);
    for (std::thread& thread : threads) thread.join();
    if (failure) std::rethrow_exception(failure);
  }

  // The lane's patches of the result. Alone, that is all of it.
  void collect(const RestoreJob& job, DeviceLane& lane, const std::vector<std::pair<int, int>>& taken, Volume& output,
               std::mutex& mutex) {
    if (lanes_.size() == 1) return lane.download_result(output);
    Volume part(output.size);
    lane.download_result(part);
    const std::lock_guard lock(mutex);
    for (const auto& [first, count] : taken)
      for (int i = first; i < first + count; i++) copy_interior(job.grid, i, part, output);
  }

  static void copy_interior(const PatchGrid& grid, int patch, const Volume& from, Volume& to) {
    const Origin o = grid.origin(patch);
    const auto range = [&](int origin, int size, int volume) {
      return std::pair{std::max(0, origin + grid.margin), std::min(volume, origin + size - grid.margin)};
    };
    const auto [z0, z1] = range(o.z, grid.patch.d, grid.volume.d);
    const auto [y0, y1] = range(o.y, grid.patch.h, grid.volume.h);
    const auto [x0, x1] = range(o.x, grid.patch.w, grid.volume.w);
    for (int z = z0; z < z1; z++)
      for (int y = y0; y < y1; y++)
        for (int x = x0; x < x1; x++) to.at(z, y, x) = from.at(z, y, x);
  }

  static constexpr int64_t volumes_reserve = int64_t{512} << 20;
  static std::string to_string(Precision p) {
    return p == Precision::f16 ? "f16" : p == Precision::bf16 ? "bf16" : p == Precision::tf32 ? "tf32" : "fp32";
  }

  const Api& api_;
  const Mdcsrn& network_;
  const Precision precision_;
  const Plan plan_;
  std::vector<std::unique_ptr<DeviceLane>> lanes_;
  int done_ = 0, total_ = 0;
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(const Api& api, const Mdcsrn& network, const BackendOptions& options,
                                           const std::vector<int>& devices) {
  return std::make_unique<CudaBackend>(api, network, options, devices);
}

}  // namespace sr
