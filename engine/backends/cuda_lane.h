// One GPU of a run: the weights, the buffers of a batch of patches in flight, and the graphs that take a batch through
// the network. It is made and called with the device in use (use()), by one thread at a time.
#pragma once

#include <map>
#include <utility>
#include <vector>

#include "engine/backends/backend.h"
#include "engine/backends/device_pass.h"
#include "engine/backends/slab_copies.h"

namespace sr {

// Where the norms of a pass get their statistics.
enum class Norms { of_patch, recorded, frozen };

class DeviceLane final : DevicePass {
 public:
  DeviceLane(const cuda::Api& api, int device, const Network& network, const Plan& plan, cuda::Precision precision,
             int batch);
  ~DeviceLane() override;

  int device() const { return device_; }
  int batch() const { return batch_; }  // patches in flight; 0 after a resize that found no room

  // The calling thread works with this lane's device from here on.
  void use() const { require(api_, api_.use_device(device_)); }
  // So many patches in flight: fewer, so that something else finds room. Throws OutOfDeviceMemory; there are no buffers
  // then, and batch() is 0, until a later call finds room.
  void resize(int batch);

  // Makes room for a volume and its result, and ends what an earlier one left behind. Throws OutOfDeviceMemory.
  void start_volume(const RestoreJob& job);
  // Puts the planes that the first n patches read on their way to the device.
  void send(const RestoreJob& job, int n) { upload_.send(job.grid.planes_read(n)); }
  void freeze(const FrozenNorms& frozen);
  // Patches first .. first + n - 1, n <= batch(), through the network, when their planes are there.
  void forward(const RestoreJob& job, int first, int n, Norms norms);
  void merge(const RestoreJob& job, int n);                   // what forward made, into the result
  void record(int first, int n, ScanStatistics& statistics);  // what forward met; waits for it
  using DevicePass::finish;                                   // waits for all of it
  // Brings the planes back that no patch from the n-th on writes. Merging of those before it has been waited for.
  void fetch(const RestoreJob& job, int n, const SlabDownload::Place& place) {
    download_.fetch(job.grid.planes_done(n), place);
  }

  // A forward pass on whatever the buffers hold, timed layer by layer: milliseconds of the whole batch in `ms`, the
  // rest of one patch.
  std::vector<LayerTime> time_layers();

 private:
  // What a layer keeps on the device.
  struct Conv {
    DeviceArray<char> weights;
    DeviceArray<float> bias;
  };
  struct Norm {
    DeviceArray<float> gamma, beta;
    DeviceArray<float> frozen_scale, frozen_shift;  // of this volume, where statistics are frozen
  };

  void upload_weights();
  void allocate_batch(int batch);
  void destroy_graphs();
  cuda::PatchTransfer transfer(const RestoreJob& job, const DeviceArray<float>& volume, const DeviceArray<float>& image,
                               int n) const;
  cuda::Graph graph(int n, Norms norms);
  // Queues the forward pass of n patches, or has it recorded.
  void queue_forward(int n, Norms norms);
  bool in_scratch(Channels c) const {
    return c.first >= plan_->scratch.first && c.first < plan_->scratch.first + plan_->scratch.count;
  }

  void conv3d(Channels x, const Layer& layer, Channels y) override;
  ConvNumbers numbers_of(const ConvLayer& conv) const override;
  const float* slope_of(const PReluLayer& prelu) const override;
  cuda::DevicePrologue affine_of(Channels x, const NormLayer& norm) override;
  bool wants_sums(Channels y) const override;
  void add_sums(const ConvLayer& conv, Channels y, int n_parts) override;

  const int device_;
  const Network& network_;
  int batch_ = 0;
  std::map<std::pair<int, Norms>, cuda::Graph> graphs_;

  std::vector<Conv> convs_;                 // by id
  std::vector<Norm> norms_;                 // by id
  std::vector<DeviceArray<float>> slopes_;  // of PReLUs, by id
  DeviceArray<ChannelSums> sums_;           // [batch][sums_stride_]
  DeviceArray<float> scale_, shift_;        // [batch][affine_stride_], of the layer at work
  DeviceArray<Origin> origins_;             // [batch]
  DeviceArray<float> volume_, result_;
  SlabUpload upload_;
  SlabDownload download_;
  std::vector<Origin> origins_host_;
  int64_t sums_stride_ = 0, affine_stride_ = 0;
  std::vector<int64_t> sums_of_norm_;  // of a norm's first channel in a row of sums_

  std::vector<LayerTime>* timed_ = nullptr;

  // Of the forward pass that is being queued.
  Norms pass_ = Norms::of_patch;
  std::map<int, int64_t> scratch_sums_;  // of what lies in scratch, by its first channel
  int64_t next_scratch_sums_ = 0;
};

}  // namespace sr
