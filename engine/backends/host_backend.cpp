// The backends that run on the host: `cpu` in float32 and `ref` in double share everything but the convolution.
#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <mutex>

#include "engine/backends/host_backend.h"
#include "engine/backends/host_convs.h"
#include "engine/base/machine.h"
#include "engine/base/threads.h"
#include "engine/networks/plan.h"
#include "kernels/memory.h"
#include "kernels/pointwise.h"

namespace sr {
namespace {

// The buffer of one patch in flight: zero at the start, so that padding lanes are.
class Buffer {
 public:
  explicit Buffer(int64_t n_bytes) : memory_(static_cast<size_t>(n_bytes) / sizeof(float) + 1) {}
  template <class T>
  T* as() {
    return reinterpret_cast<T*>(memory_.data());
  }

 private:
  HugeBuffer memory_;
};

// How the norms of one pass get their statistics; all null: from the patch, and nobody asks.
struct NormSource {
  const FrozenNorms* frozen = nullptr;
  ScanStatistics* record = nullptr;
};

// One patch in flight.
template <class Convs>
class Lane : public PatchOps {
 public:
  using T = typename Convs::Value;

  Lane(const Network& network, const Plan& plan, const Convs& convs, int n_threads)
      : network_(network),
        plan_(plan),
        convs_(convs),
        scratch_(n_threads),
        buffer_(plan.elements() * int64_t{sizeof(T)}),
        features_{buffer_.as<T>(), plan.layout},
        sums_(static_cast<size_t>(plan.n_channels)) {}

  void forward(const RestoreJob& job, int patch, const NormSource& norms) {
    patch_ = patch;
    norms_ = norms;
    gather_patch(job.input.data.data(), job.input.size, job.grid.origin(patch), job.pad, job.intensity, features_,
                 plan_.image.first);
    network_.forward(plan_, *this);
  }

  void merge(const RestoreJob& job, Volume& output) {
    merge_patch(features_, plan_.output.first, job.grid.origin(patch_), job.grid.margin, job.intensity,
                output.data.data(), output.size);
  }

 private:
  void conv3d(Channels x, const Layer& layer, Channels y) override {
    const NormAffine* affine = layer.norm ? &affine_of(x, *layer.norm) : nullptr;
    convs_.forward(features_, x, prologue_.of(layer, affine), layer.conv, y, sums_.data() + y.first, scratch_);
  }
  void prelu(Channels x, const PReluLayer& layer, Channels y) override {
    sr::prelu(features_, x, prologue_.of(layer), y, scratch_.n_threads());
  }
  void norm_add(Channels x, const NormLayer& norm, Channels skip, Channels y) override {
    const Prologue<T> p = prologue_.of(affine_of(x, norm));
    sr::norm_add(features_, x, p.scale, p.shift, skip, y, scratch_.n_threads());
  }
  void add_input(Channels image, Channels output) override { add_channel(features_, image.first, output.first); }

  const NormAffine& affine_of(Channels x, const NormLayer& norm) {
    const ChannelSums* sums = sums_.data() + x.first;
    if (norms_.frozen) return (*norms_.frozen)[norm.id];
    if (norms_.record) norms_.record->record(patch_, norm, sums);
    batch_norm_affine(norm, sums, static_cast<double>(plan_.layout.size.voxels()), affine_);
    return affine_;
  }

  const Network& network_;
  const Plan& plan_;
  const Convs& convs_;
  ConvScratch scratch_;
  Buffer buffer_;
  Features<T> features_;
  std::vector<ChannelSums> sums_;  // of each channel of the buffer, as last written
  NormSource norms_;
  int patch_ = 0;
  NormAffine affine_;
  HostPrologue<T> prologue_;
};

// f(thread, item) for every item; threads take them in turn.
template <class F>
void for_each_item(int n_threads, int n_items, F f) {
  std::atomic<int> next{0};
  std::atomic<bool> failed{false};
  on_threads(n_threads, failed, [&](int thread) {
    for (int item = next++; item < n_items && !failed; item = next++) f(thread, item);
  });
}

template <class Convs>
class HostBackend : public Backend {
 public:
  HostBackend(const Network& network, const BackendOptions& options)
      : network_(network),
        options_(options),
        plan_(network, Convs::layout(options.patch)),
        convs_(network, options.conv) {
    options_.threads = options.threads > 0 ? options.threads : usable_processors();
    scratch_bytes_ = convs_.scratch_bytes(plan_.layout);
    options_.batch = patches_in_flight(options.batch);
    if (!Convs::threads_share_a_patch) options_.threads = options_.batch;
    lanes_.resize(static_cast<size_t>(options_.batch));
  }

  void restore(const RestoreJob& job, Volume& output) override {
    const int n = job.grid.count();
    const bool two_passes = job.batch_norm == BatchNorm::scan;
    int done = 0;
    FrozenNorms frozen;
    if (job.batch_norm == BatchNorm::running) frozen = frozen_running_norms(network_);
    if (two_passes) {
      ScanStatistics statistics(network_, n);
      pass(job, {nullptr, &statistics}, nullptr, done, 2 * n);
      frozen = statistics.freeze(network_, static_cast<double>(plan_.layout.size.voxels()));
    }
    pass(job, {job.batch_norm == BatchNorm::patch ? nullptr : &frozen, nullptr}, &output, done, two_passes ? 2 * n : n);
  }

  std::string describe() const override {
    return fmt::format("{}, {} thread{}, {} patch{} in flight", Convs::name(), options_.threads,
                       options_.threads == 1 ? "" : "s", options_.batch, options_.batch == 1 ? "" : "es");
  }
  int threads() const override { return options_.threads; }
  int batch() const override { return options_.batch; }
  int64_t buffer_bytes() const override { return options_.batch * lane_bytes() + all_scratch_bytes(); }

 private:
  int64_t lane_bytes() const { return plan_.elements() * int64_t{sizeof(typename Convs::Value)}; }
  // The threads are shared out among the lanes: their number does not depend on how many lanes there are.
  int64_t all_scratch_bytes() const { return options_.threads * scratch_bytes_; }

  int patches_in_flight(int asked) const {
    const int64_t machine = physical_memory() / 10 * 9;
    const int64_t limit = options_.max_memory > 0 ? options_.max_memory : machine;
    const int64_t room = limit - all_scratch_bytes();
    if (lane_bytes() > room) {
      const Size3 p = options_.patch;
      throw Error(Status::resource_error,
                  fmt::format("{} on a patch of {}x{}x{} by {} thread{} needs {} MB and {} MB are allowed{}; --patch "
                              "takes a smaller one",
                              network_.model.name(), p.w, p.h, p.d, options_.threads, options_.threads == 1 ? "" : "s",
                              (lane_bytes() + all_scratch_bytes()) / 1000000, limit / 1000000,
                              options_.max_memory > 0 ? " by --max-memory" : " on this machine"));
    }
    const int wanted = asked > 0 ? asked : std::max(1, options_.threads / 8);
    return static_cast<int>(std::clamp<int64_t>(room / lane_bytes(), 1, std::min(wanted, options_.threads)));
  }

  // A volume with fewer patches than lanes needs only so many.
  Lane<Convs>& lane(int i) {
    auto& lane = lanes_[i];
    if (!lane) {
      const int n_threads = options_.threads / options_.batch + (i < options_.threads % options_.batch ? 1 : 0);
      lane = std::make_unique<Lane<Convs>>(network_, plan_, convs_, n_threads);
    }
    return *lane;
  }

  void pass(const RestoreJob& job, const NormSource& norms, Volume* output, int& done, int total) {
    std::mutex progress_mutex;
    for_each_item(std::min(options_.batch, job.grid.count()), job.grid.count(), [&](int thread, int patch) {
      Lane<Convs>& own = lane(thread);
      own.forward(job, patch, norms);
      if (output) own.merge(job, *output);
      const std::lock_guard lock(progress_mutex);
      done++;
      if (job.progress && !job.progress(done, total)) throw Error(Status::interrupted, "interrupted");
    });
  }

  const Network& network_;
  BackendOptions options_;
  Plan plan_;
  Convs convs_;
  int64_t scratch_bytes_ = 0;                        // of one thread
  std::vector<std::unique_ptr<Lane<Convs>>> lanes_;  // options_.batch of them, made when first used
};

}  // namespace

std::unique_ptr<Backend> make_host_backend(const Network& network, const BackendOptions& options) {
  if (options.kind == BackendKind::ref) return std::make_unique<HostBackend<RefConvs>>(network, options);
  return std::make_unique<HostBackend<CpuConvs>>(network, options);
}

}  // namespace sr
