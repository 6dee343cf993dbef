// One axis after another: a slab of lines is gathered, transformed, cropped, transformed back, and scattered into an
// array that is shorter along this axis. Along i and j a slab is slices on their way from the host; along k the slices
// have to be on the device, cut as they are, before the first line can be gathered.
#include "engine/backends/kspace_cuda.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "engine/backends/device_array.h"

namespace sr {
namespace {

using cuda::Api;
using cuda::Complex;
using cuda::LineBlock;
using cuda::LineOrder;

// A dense array on the device, real or complex (the other one is null).
struct Array {
  float* real = nullptr;
  Complex* complex = nullptr;
};

// One axis of an array [lines / inner][n][inner] that is cut to [lines / inner][m][inner].
struct Cut {
  int n, m;
  int64_t inner, lines;
};

class KspaceCutter {
 public:
  KspaceCutter(const Api& api, int64_t slab_samples) : api_(api), slab_samples_(std::max<int64_t>(slab_samples, 1)) {
    require(api_, api_.create_stream(&stream_));
  }
  ~KspaceCutter() {
    api_.synchronize(stream_);  // an error may have left work that uses the plans
    for (const auto& [key, plan] : plans_) api_.destroy_fft(plan.fft);
    api_.destroy_stream(stream_);
  }
  KspaceCutter(const KspaceCutter&) = delete;
  KspaceCutter& operator=(const KspaceCutter&) = delete;

  Volume cut(const Volume& high, Size3 to) {
    const Size3 from = high.size;
    const Cut along_k{from.d, to.d, int64_t{to.h} * to.w, int64_t{to.h} * to.w};
    Volume low(to);
    DeviceArray<float> result;
    if (to.d == from.d) {
      result = DeviceArray<float>(api_, slab_slices(from) * to.h * to.w);
      each_slab(from, [&](int first, int n) {
        cut_slices(high, first, n, to, {result.data(), nullptr});
        result.download(low.data.data() + first * int64_t{to.h} * to.w, n * int64_t{to.h} * to.w, stream_);
        require(api_, api_.synchronize(stream_));
      });
      return low;
    }
    if (to.h == from.h && to.w == from.w) {
      DeviceArray<float> volume(api_, from.voxels());
      volume.upload(high.data.data(), from.voxels(), stream_);
      result = DeviceArray<float>(api_, to.voxels());
      cut_axis({volume.data(), nullptr}, {result.data(), nullptr}, along_k);
    } else {
      DeviceArray<Complex> slices(api_, from.d * int64_t{to.h} * to.w);
      each_slab(from, [&](int first, int n) {
        cut_slices(high, first, n, to, {nullptr, slices.data() + first * int64_t{to.h} * to.w});
      });
      result = DeviceArray<float>(api_, to.voxels());
      cut_axis({nullptr, slices.data()}, {result.data(), nullptr}, along_k);
    }
    result.download(low.data.data(), to.voxels(), stream_);
    require(api_, api_.synchronize(stream_));
    return low;
  }

 private:
  int64_t slab_slices(Size3 from) const {
    return std::clamp<int64_t>(slab_samples_ / (int64_t{from.h} * from.w), 1, from.d);
  }

  template <class F>
  void each_slab(Size3 from, F f) const {
    const int most = static_cast<int>(slab_slices(from));
    for (int first = 0; first < from.d; first += most) f(first, std::min(most, from.d - first));
  }

  // Slices first .. first + n - 1 from the host, cut along i and j, into [n][to.h][to.w].
  void cut_slices(const Volume& high, int first, int n, Size3 to, Array target) {
    const Size3 from = high.size;
    const int64_t slice = int64_t{from.h} * from.w;
    at_least(input_, n * slice);
    input_.upload(high.data.data() + first * slice, n * slice, stream_);
    Array source{input_.data(), nullptr};
    if (to.w < from.w) {
      if (to.h < from.h) at_least(rows_cut_, n * int64_t{from.h} * to.w);
      const Array cut = to.h < from.h ? Array{nullptr, rows_cut_.data()} : target;
      cut_axis(source, cut, {from.w, to.w, 1, n * int64_t{from.h}});
      source = cut;
    }
    if (to.h < from.h) cut_axis(source, target, {from.h, to.h, to.w, n * int64_t{to.w}});
  }

  // Arrays that are cut last are real: their samples become magnitudes.
  void cut_axis(Array from, Array to, const Cut& axis) {
    const int64_t most = std::clamp<int64_t>(slab_samples_ / axis.n, 1, axis.lines);
    const LineOrder order = axis.inner == 1 ? LineOrder::rows : LineOrder::columns;
    at_least(spectra_, most * axis.n);
    at_least(kept_, most * axis.m);
    for (int64_t first = 0; first < axis.lines; first += most) {
      const int count = static_cast<int>(std::min(most, axis.lines - first));
      const LineBlock lines{spectra_.data(), axis.n, count, order}, kept{kept_.data(), axis.m, count, order};
      require(api_, api_.gather_lines({from.real, from.complex, axis.inner, first}, lines, stream_));
      transform(lines, false);
      require(api_, api_.crop_lines(lines, kept, stream_));
      transform(kept, true);
      require(api_, api_.scatter_lines(kept, {to.real, to.complex, axis.inner, first}, stream_));
    }
  }

  void transform(const LineBlock& block, bool inverse) {
    if (block.length == 1) return;  // one sample is its own spectrum
    const auto key = std::make_tuple(block.length, block.count, block.order);
    auto plan = plans_.find(key);
    if (plan == plans_.end()) {
      Plan made{};
      require(api_, api_.plan_fft(block.length, block.count, block.order, &made.fft, &made.n_work_bytes));
      plan = plans_.emplace(key, made).first;
    }
    at_least(work_, plan->second.n_work_bytes);  // one for all plans: the stream runs one at a time
    require(api_, api_.run_fft(plan->second.fft, block.data, inverse, work_.data(), stream_));
  }

  // Releasing waits for the work that still uses the smaller array.
  template <class T>
  void at_least(DeviceArray<T>& array, int64_t n) {
    if (array.data() && array.size() >= n) return;
    array = {};
    array = DeviceArray<T>(api_, n);
  }

  struct Plan {
    cuda::Fft fft;
    int64_t n_work_bytes;
  };

  const Api& api_;
  const int64_t slab_samples_;
  cuda::Stream stream_ = nullptr;
  DeviceArray<float> input_;             // slices as they are
  DeviceArray<Complex> rows_cut_;        // the same, cut along i
  DeviceArray<Complex> spectra_, kept_;  // of a slab of lines
  DeviceArray<char> work_;               // cuFFT's
  std::map<std::tuple<int, int, LineOrder>, Plan> plans_;
};

}  // namespace

Volume truncate_kspace_cuda(const cuda::Api& api, int device, const Volume& high, const Factors& factors,
                            int64_t slab_samples) {
  const Size3 low = low_grid(high.size, factors);
  if (low == high.size) return truncate_kspace(high, factors);
  require(api, api.use_device(device));
  if (const char* why = api.fft_missing()) throw Error(Status::resource_error, why);
  try {
    return KspaceCutter(api, slab_samples).cut(high, low);
  } catch (const OutOfDeviceMemory&) {
    cuda::DeviceInfo info{};
    require(api, api.device_info(device, &info));
    throw Error(
        Status::resource_error,
        fmt::format("cutting the k-space of {}x{}x{} voxels takes more than the {} MB of memory that GPU {} has "
                    "free",
                    high.size.w, high.size.h, high.size.d, info.free_memory / 1000000, device));
  }
}

}  // namespace sr
