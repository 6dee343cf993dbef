// A volume's way to the GPU and its result's way back, slab of z-planes by slab, so that most of either is copied while
// patches are computed. Copies that run beside kernels need pinned memory. Pinning a volume takes longer than copying
// it, so each way has two pieces of pinned memory that take turns: the host copies one while the other one travels.
#pragma once

#include <functional>

#include "engine/backends/device_array.h"
#include "engine/backends/patches.h"
#include "engine/base/volume.h"

namespace sr {

// Two pieces of pinned memory and the stream on which they travel. Piece i lies in memory(i), where piece i - 2 was.
class Staging {
 public:
  // 1 MiB: the copy takes longer than its launch, and what the host copies stays in its cache until it travels.
  static constexpr int64_t most_voxels = int64_t{1} << 18;

  Staging(const cuda::Api& api, int64_t piece_voxels);
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  int64_t piece_voxels() const { return piece_voxels_; }
  float* memory(int64_t piece) const { return memory_[piece % 2]; }
  void upload(int64_t piece, float* device, int64_t n);
  void download(int64_t piece, const float* device, int64_t n);
  // The caller, or another stream's work from here on, waits for the piece.
  void wait(int64_t piece) const { require(api_, api_.wait_on_host(arrived_[piece % 2])); }
  void hold(cuda::Stream other, int64_t piece) const { require(api_, api_.wait_on_stream(other, arrived_[piece % 2])); }
  void finish() { require(api_, api_.synchronize(stream_)); }

 private:
  void release();

  const cuda::Api& api_;
  const int64_t piece_voxels_;
  cuda::Stream stream_ = nullptr;
  float* memory_[2] = {};
  cuda::Event arrived_[2] = {};
};

class SlabUpload {
 public:
  explicit SlabUpload(const cuda::Api& api, int64_t piece_voxels = Staging::most_voxels)
      : staging_(api, piece_voxels) {}

  // Another volume, of which nothing is on the device.
  void start(const Volume& volume, float* device);
  // Puts the planes below `planes` on their way, those that are not yet.
  void send(int planes);
  // The stream's work from here on waits for all that was sent.
  void hold(cuda::Stream stream) const;
  void finish() { staging_.finish(); }

 private:
  Staging staging_;
  const Volume* volume_ = nullptr;
  float* device_ = nullptr;
  int64_t sent_ = 0;      // voxels
  int64_t n_pieces_ = 0;  // so far
};

class SlabDownload {
 public:
  // Takes voxels first .. first + n - 1, which lie at `voxels`.
  using Place = std::function<void(const float* voxels, int64_t first, int64_t n)>;

  explicit SlabDownload(const cuda::Api& api, int64_t piece_voxels = Staging::most_voxels)
      : staging_(api, piece_voxels) {}

  // Another volume.
  void start(Size3 size, const float* device);
  // Brings the planes below `planes`, those that it has not brought yet, and returns when `place` has taken all of
  // them. The work that wrote them has been waited for.
  void fetch(int planes, const Place& place);
  void finish() { staging_.finish(); }

 private:
  Staging staging_;
  Size3 size_{0, 0, 0};
  const float* device_ = nullptr;
  int64_t fetched_ = 0;  // voxels
};

// Those of n voxels, from `first` on, that lie in the box.
void copy_inside(const Box& box, const float* voxels, int64_t first, int64_t n, Volume& to);

}  // namespace sr
