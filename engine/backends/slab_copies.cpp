#include "engine/backends/slab_copies.h"

#include <algorithm>
#include <cstring>

namespace sr {

Staging::Staging(const cuda::Api& api, int64_t piece_voxels) : api_(api), piece_voxels_(piece_voxels) {
  try {
    require(api_, api_.create_stream(&stream_));
    for (cuda::Event& event : arrived_) require(api_, api_.create_event(&event));
    for (float*& memory : memory_) {
      void* p = nullptr;
      require(api_, api_.allocate_pinned(&p, piece_voxels * int64_t{sizeof(float)}));
      memory = static_cast<float*>(p);
    }
  } catch (...) {
    release();
    throw;
  }
}

Staging::~Staging() {
  api_.synchronize(stream_);  // an error may have left copies on their way
  release();
}

void Staging::release() {
  for (float* memory : memory_)
    if (memory) api_.release_pinned(memory);
  for (cuda::Event event : arrived_)
    if (event) api_.destroy_event(event);
  if (stream_) api_.destroy_stream(stream_);
}

void Staging::upload(int64_t piece, float* device, int64_t n) {
  require(api_, api_.upload(device, memory(piece), n * int64_t{sizeof(float)}, stream_));
  require(api_, api_.record(arrived_[piece % 2], stream_));
}

void Staging::download(int64_t piece, const float* device, int64_t n) {
  require(api_, api_.download(memory(piece), device, n * int64_t{sizeof(float)}, stream_));
  require(api_, api_.record(arrived_[piece % 2], stream_));
}

void SlabUpload::start(const Volume& volume, float* device) {
  volume_ = &volume;
  device_ = device;
  sent_ = 0;
}

void SlabUpload::send(int planes) {
  const int64_t end = int64_t{planes} * volume_->size.h * volume_->size.w;
  for (; sent_ < end; n_pieces_++) {
    const int64_t n = std::min(staging_.piece_voxels(), end - sent_);
    staging_.wait(n_pieces_);  // for the piece that was in this memory
    std::memcpy(staging_.memory(n_pieces_), volume_->data.data() + sent_, static_cast<size_t>(n) * sizeof(float));
    staging_.upload(n_pieces_, device_ + sent_, n);
    sent_ += n;
  }
}

void SlabUpload::hold(cuda::Stream stream) const {
  if (n_pieces_ > 0) staging_.hold(stream, n_pieces_ - 1);  // the others travel before it
}

void SlabDownload::start(Size3 size, const float* device) {
  size_ = size;
  device_ = device;
  fetched_ = 0;
}

void SlabDownload::fetch(int planes, const Place& place) {
  const int64_t end = int64_t{planes} * size_.h * size_.w, most = staging_.piece_voxels();
  const int64_t n_pieces = end > fetched_ ? (end - fetched_ + most - 1) / most : 0;
  const auto first = [&](int64_t piece) { return fetched_ + piece * most; };
  const auto voxels = [&](int64_t piece) { return std::min(most, end - first(piece)); };
  if (n_pieces > 0) staging_.download(0, device_ + first(0), voxels(0));
  for (int64_t i = 0; i < n_pieces; i++) {
    if (i + 1 < n_pieces) staging_.download(i + 1, device_ + first(i + 1), voxels(i + 1));
    staging_.wait(i);
    place(staging_.memory(i), first(i), voxels(i));
  }
  fetched_ = std::max(fetched_, end);
}

void copy_inside(const Box& box, const float* voxels, int64_t first, int64_t n, Volume& to) {
  const int64_t h = to.size.h, w = to.size.w;
  const int z0 = std::max(box.z0, static_cast<int>(first / (h * w)));
  const int z1 = std::min(box.z1, static_cast<int>((first + n - 1) / (h * w)) + 1);
  for (int z = z0; z < z1; z++)
    for (int y = box.y0; y < box.y1; y++) {
      const int64_t row = (z * h + y) * w;
      const int64_t begin = std::max(row + box.x0, first), end = std::min(row + box.x1, first + n);
      if (begin < end) std::copy_n(voxels + (begin - first), end - begin, to.data.begin() + begin);
    }
}

}  // namespace sr
