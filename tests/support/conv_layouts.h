// The layouts that kernels take the numbers of a ConvProblem in, and the comparison of what they leave there. A layout
// says where a row of voxels begins, `row(patch, channel, z, y)`, and how far apart its voxels are, `step`. Channels x
// and y have others around them, which nobody is to touch: those are NaN, so that a kernel that reads them shows.
#pragma once

#include <cstdio>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>

#include "kernels/memory.h"
#include "tests/support/catch.h"
#include "tests/support/conv_problem.h"
#include "tests/support/quads.h"

namespace sr {

// [patch][channel][voxel], as a ConvProblem has its numbers, and a device its images of one channel.
struct DenseChannels {
  static constexpr int step = 1;
  Size3 size;
  int n_patches, n_channels;
  size_t n_elements() const { return static_cast<size_t>(n_patches * n_channels * size.voxels()); }
  size_t row(int patch, int channel, int z, int y) const {
    return ((static_cast<size_t>(patch) * n_channels + channel) * size.d + z) * size.h * size.w +
           static_cast<size_t>(y) * size.w;
  }
};

// What the CPU kernels take (padded_layout): a buffer for each patch, one behind the other; lanes of zeros behind rows.
struct PaddedRows {
  static constexpr int step = 1;
  explicit PaddedRows(const ConvProblem& p)
      : layout(padded_layout(p.c.size)),
        size(p.c.size),
        n_patches(p.n_patches),
        n_channels(p.c.ci + p.c.co + 3),
        x{1, p.c.ci},
        y{p.c.ci + 2, p.c.co} {}
  size_t n_elements() const { return static_cast<size_t>(n_patches * buffer_elements(layout, n_channels)); }
  size_t row(int patch, int channel, int z, int row_of_plane) const {
    return static_cast<size_t>(patch * buffer_elements(layout, n_channels) + channel * layout.channel +
                               z * layout.plane + row_of_plane * layout.row);
  }
  template <class T>
  Features<T> features(T* batch, int patch) const {
    return {batch + patch * buffer_elements(layout, n_channels), layout};
  }

  // f(first, last) for the lanes behind each row of a channel.
  template <class F>
  void for_padding(int patch, int channel, F f) const {
    for (int z = 0; z < size.d; z++)
      for (int i = 0; i < size.h; i++) f(row(patch, channel, z, i) + size.w, row(patch, channel, z, i) + layout.row);
  }

  Layout layout;
  Size3 size;
  int n_patches, n_channels;
  Channels x, y;
};

// What the device takes (kernels/cuda/types.h): four channels together. A single channel is an image instead, and
// x or y has none here.
struct QuadMaps {
  static constexpr int step = 4;
  explicit QuadMaps(const ConvProblem& p)
      : size(p.c.size),
        n_patches(p.n_patches),
        x{4, p.c.ci == 1 ? 0 : p.c.ci},
        y{4 + x.count + 4, p.c.co == 1 ? 0 : p.c.co},
        n_channels(y.first + y.count + 4) {}
  size_t n_elements() const { return static_cast<size_t>(n_patches * n_channels * size.voxels()); }
  size_t row(int patch, int channel, int z, int row_of_plane) const {
    return quad_index(n_channels, size.voxels(), patch, channel, (int64_t{z} * size.h + row_of_plane) * size.w);
  }

  Size3 size;
  int n_patches;
  Channels x, y;
  int n_channels;
};

// f(voxel, element) for the voxels of a channel, in their order.
template <class Layout, class F>
void for_voxels(const Layout& layout, int patch, int channel, F f) {
  size_t voxel = 0;
  for (int z = 0; z < layout.size.d; z++)
    for (int y = 0; y < layout.size.h; y++) {
      const size_t row = layout.row(patch, channel, z, y);
      for (int x = 0; x < layout.size.w; x++) f(voxel++, row + static_cast<size_t>(x * Layout::step));
    }
}

// A batch with these numbers in x and in y, [patch][channel][voxel]; none: NaN, as everywhere else.
template <class Layout>
std::vector<float> batch_of(const Layout& layout, const std::vector<float>& at_x, const std::vector<float>& at_y) {
  std::vector<float> batch(layout.n_elements(), kNaN);
  const auto put = [&](Channels channels, const std::vector<float>& numbers) {
    if (numbers.empty()) return;
    const DenseChannels dense = {layout.size, layout.n_patches, channels.count};
    for (int patch = 0; patch < layout.n_patches; patch++)
      for (int c = 0; c < channels.count; c++) {
        const float* from = numbers.data() + dense.row(patch, c, 0, 0);
        for_voxels(layout, patch, channels.first + c, [&](size_t voxel, size_t at) { batch[at] = from[voxel]; });
        if constexpr (std::is_same_v<Layout, PaddedRows>)
          layout.for_padding(patch, channels.first + c, [&](size_t first, size_t last) {
            std::fill(batch.begin() + static_cast<ptrdiff_t>(first), batch.begin() + static_cast<ptrdiff_t>(last),
                      0.0f);
          });
      }
  };
  put(layout.x, at_x);
  put(layout.y, at_y);
  return batch;
}

// The same, aligned as the CPU kernels want it.
inline HugeBuffer aligned(const std::vector<float>& batch) {
  HugeBuffer buffer(batch.size());
  std::memcpy(buffer.data(), batch.data(), batch.size() * sizeof(float));
  return buffer;
}

// The largest error as a share of the tolerance, and where it is.
struct Worst {
  double share = 0;
  std::string where;
  template <class Where>
  void take(double other, Where other_where) {
    if (other <= share) return;
    share = std::isnan(other) ? 1e30 : other;  // NaN counts as worst
    where = other_where();
  }
  void take(const Worst& other, const ConvCase& c) {
    take(other.share, [&] { return to_string(c) + ", " + other.where; });
  }
  void print(const std::string& what, size_t n_cases) const {
    std::printf("%s: %zu cases, at most %.0f %% of the tolerance: %s\n", what.c_str(), n_cases, 100 * share,
                where.c_str());
  }
};

// Checks a batch after an operation that wrote the channels `written`: their voxels are `expected`, [patch][channel]
// [voxel], to limit(channel, expected), channels counted from written.first; all else is as it was before, bit for bit,
// except that the lanes behind written rows are zeros.
template <class Layout, class Limit>
Worst check_batch(const Layout& layout, Channels written, std::span<const float> before, std::span<const float> after,
                  const std::vector<double>& expected, Limit limit) {
  const auto same = [&](size_t first, size_t last) {
    return std::memcmp(after.data() + first, before.data() + first, (last - first) * sizeof(float)) == 0;
  };
  REQUIRE(before.size() == layout.n_elements());
  REQUIRE(after.size() == before.size());
  REQUIRE(expected.size() == static_cast<size_t>(layout.n_patches * written.count * layout.size.voxels()));
  Worst worst;
  const DenseChannels dense = {layout.size, layout.n_patches, written.count};
  for (int c = 0; c < layout.n_channels; c++) {
    const int of_written = c - written.first;
    if (of_written < 0 || of_written >= written.count) {
      bool as_before = true;
      for (int patch = 0; patch < layout.n_patches; patch++)
        for_voxels(layout, patch, c, [&](size_t, size_t at) { as_before = as_before && same(at, at + 1); });
      CHECK(as_before);
      continue;
    }
    Worst of_channel;
    for (int patch = 0; patch < layout.n_patches; patch++) {
      const double* want = expected.data() + dense.row(patch, of_written, 0, 0);
      for_voxels(layout, patch, c, [&](size_t voxel, size_t at) {
        const double error = std::abs(double{after[at]} - want[voxel]);
        of_channel.take(error / limit(of_written, want[voxel]), [&] {
          const auto v = static_cast<int64_t>(voxel), w = int64_t{layout.size.w}, h = int64_t{layout.size.h};
          return "patch " + std::to_string(patch) + " channel " + std::to_string(of_written) + " z " +
                 std::to_string(v / (h * w)) + " y " + std::to_string(v / w % h) + " x " + std::to_string(v % w);
        });
      });
    }
    INFO(of_channel.where);
    CHECK(of_channel.share <= 1);
    worst.take(of_channel.share, [&] { return of_channel.where; });
  }
  if constexpr (std::is_same_v<Layout, PaddedRows>) {
    bool padding_is_right = true, gaps_are_as_before = true;
    for (int patch = 0; patch < layout.n_patches; patch++) {
      for (int c = 0; c < layout.n_channels; c++) {
        const bool is_written = c >= written.first && c < written.first + written.count;
        layout.for_padding(patch, c, [&](size_t first, size_t last) {
          const bool right =
              is_written ? std::all_of(after.begin() + static_cast<ptrdiff_t>(first),
                                       after.begin() + static_cast<ptrdiff_t>(last), [](float v) { return v == 0; })
                         : same(first, last);
          padding_is_right = padding_is_right && right;
        });
        const size_t channel = layout.row(patch, c, 0, 0);
        gaps_are_as_before =
            gaps_are_as_before && same(channel + static_cast<size_t>(layout.layout.plane * layout.size.d),
                                       channel + static_cast<size_t>(layout.layout.channel));
      }
      gaps_are_as_before =
          gaps_are_as_before && same(layout.row(patch, layout.n_channels, 0, 0), layout.row(patch + 1, 0, 0, 0));
    }
    CHECK(padding_is_right);
    CHECK(gaps_are_as_before);
  }
  return worst;
}

// A sum of the voxels of a patch, each off by at most `limit`; squares of values of size rms.
inline void check_sums(const ConvProblem& p, const std::vector<ChannelSums>& got, const ExpectedForward& e,
                       double limit) {
  REQUIRE(got.size() == e.sums.size());
  const double n = static_cast<double>(p.voxels()), rms_of_y = rms(e.y);
  for (size_t i = 0; i < got.size(); i++) {
    CHECK(std::abs(got[i].sum - e.sums[i].sum) <= limit * n);
    CHECK(std::abs(got[i].sum_of_squares - e.sums[i].sum_of_squares) <= 4 * limit * n * rms_of_y);
  }
}

// T is float or double.
template <class T>
Worst check_weight_gradients(const std::vector<T>& dweight, const std::vector<T>& dbias, const ExpectedWeights& e,
                             double weight_limit, double bias_limit) {
  REQUIRE(dweight.size() == e.dweight.size());
  REQUIRE(dbias.size() == e.dbias.size());
  Worst worst;
  for (size_t i = 0; i < dweight.size(); i++)
    worst.take(std::abs(double{dweight[i]} - e.dweight[i]) / weight_limit,
               [&] { return "weight " + std::to_string(i); });
  INFO(worst.where);
  CHECK(worst.share <= 1);
  for (size_t i = 0; i < dbias.size(); i++) CHECK(std::abs(double{dbias[i]} - e.dbias[i]) <= bias_limit);
  return worst;
}

}  // namespace sr
