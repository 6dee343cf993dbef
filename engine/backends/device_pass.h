// A forward pass on a GPU, queued on one stream: what inference (cuda_lane.h) and training
// (engine/training/device_engine.cpp) share. Where the numbers of a layer lie, and what becomes of the sums that
// convolutions gather, is the affair of whoever derives from it.
#pragma once

#include "engine/backends/device_array.h"
#include "engine/networks/plan.h"

namespace sr {

// Bytes of a stored feature.
int64_t element_bytes(cuda::Precision precision);

class DevicePass : public PatchOps {
 public:
  DevicePass(const DevicePass&) = delete;
  DevicePass& operator=(const DevicePass&) = delete;

 protected:
  // Made with the device in use. The stream is this pass's own.
  DevicePass(const cuda::Api& api, cuda::Precision precision);
  // The device is in use, and what derives from it has waited for its work (finish_quietly).
  ~DevicePass() override;

  // Device memory of a convolution: its weights as conv3d_pack orders them, its bias or null.
  struct ConvNumbers {
    const void* packed_weights;
    const float* bias;
  };
  virtual ConvNumbers numbers_of(const ConvLayer& conv) const = 0;
  virtual const float* slope_of(const PReluLayer& prelu) const = 0;
  // Batch-norm of x as an affine; queues what makes it. Its numbers hold until the next layer's.
  virtual cuda::DevicePrologue affine_of(Channels x, const NormLayer& norm) = 0;
  // Whether a later norm asks for the sums of what is written to y; then they lie in partial_sums_ in n_parts parts
  // when add_sums is called, and are to be added up.
  virtual bool wants_sums(Channels y) const = 0;
  virtual void add_sums(const ConvLayer& conv, Channels y, int n_parts) = 0;

  // PatchOps
  void conv3d(Channels x, const Layer& layer, Channels y) override;
  void prelu(Channels x, const PReluLayer& layer, Channels y) override;
  void norm_add(Channels x, const NormLayer& norm, Channels skip, Channels y) override;
  void add_input(Channels image, Channels output) override;

  // What stands before a layer's convolution; affine: that of its norm, not used where it has none.
  cuda::DevicePrologue prologue_of(const Layer& layer, cuda::DevicePrologue affine) const;
  // Channels of the pass's buffers, or its image or output.
  cuda::Operand operand(Channels c) const;
  cuda::FeatureMaps maps(void* features) const;
  int64_t feature_channels() const { return plan_->image.first; }  // image and output have arrays of their own

  // For layers without a norm: an affine that changes nothing, as wide as the network's widest layer.
  void upload_identity(const Network& network);
  // Waits for all that is queued. finish_quietly: for destructors, whatever went wrong.
  void finish() { require(api_, api_.synchronize(stream_)); }
  void finish_quietly() noexcept { api_.synchronize(stream_); }

  template <class T>
  DeviceArray<T> uploaded(const std::vector<T>& host) {
    DeviceArray<T> array(api_, static_cast<int64_t>(host.size()));
    array.upload(host.data(), static_cast<int64_t>(host.size()), stream_);
    finish();  // the host's row may go
    return array;
  }

  const cuda::Api& api_;
  const cuda::Precision precision_;
  cuda::Stream stream_ = nullptr;

  // Of the batch at work: n_ patches of plan_.
  const Plan* plan_ = nullptr;
  int n_ = 0;
  DeviceArray<char> features_;
  DeviceArray<float> image_, output_;  // [patch][voxel]
  DeviceArray<float> partial_sums_;    // what an operation leaves for the next to add

 private:
  DeviceArray<float> ones_, zeros_;
};

}  // namespace sr
