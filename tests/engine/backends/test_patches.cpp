// The patch grid and the way of a patch in and out.
#include "engine/backends/patches.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "tests/support/catch.h"

using namespace sr;

namespace {

// How often each index of an axis (0: z, 1: y, 2: x) of n voxels is written by patches of the given size and margin,
// merged as merge_patch does it.
std::vector<int> coverage(int axis, int n, int patch, int margin) {
  const auto along_axis = [axis](int there, int elsewhere) {
    return Size3{axis == 0 ? there : elsewhere, axis == 1 ? there : elsewhere, axis == 2 ? there : elsewhere};
  };
  const PatchGrid grid = make_patch_grid(along_axis(n, 1), along_axis(patch, 2 * margin + 1), margin);
  std::vector<int> count(static_cast<size_t>(n));
  const Layout layout = dense_layout(grid.patch);
  std::vector<double> buffer(static_cast<size_t>(buffer_elements(layout, 1)), 1.0);
  for (int i = 0; i < grid.count(); i++) {
    std::vector<float> volume(static_cast<size_t>(n));
    merge_patch(Features<double>{buffer.data(), layout}, 0, grid.origin(i), margin, {}, volume.data(), grid.volume);
    for (size_t v = 0; v < volume.size(); v++) count[v] += volume[v] != 0;
  }
  return count;
}

}  // namespace

TEST_CASE("every voxel is written exactly once for all sizes from 1 to 200, along each axis") {
  for (int axis = 0; axis < 3; axis++)
    for (int n = 1; n <= 200; n++)
      for (const auto& [patch, margin] : {std::pair{70, 3}, {24, 8}, {7, 3}, {5, 0}, {16, 5}})
        for (const int c : coverage(axis, n, patch, margin))
          if (c != 1)
            FAIL("axis " << axis << ", size " << n << ", patch " << patch << ", margin " << margin << ": written " << c
                         << " times");
  SUCCEED();
}

TEST_CASE("three axes together write every voxel exactly once") {
  const Size3 size{11, 5, 23};
  const PatchGrid grid = make_patch_grid(size, {6, 8, 9}, 2);
  const Layout layout = padded_layout(grid.patch);
  std::vector<float> buffer(static_cast<size_t>(buffer_elements(layout, 1)), 1.0f);
  std::vector<float> total(static_cast<size_t>(size.voxels()));
  for (int i = 0; i < grid.count(); i++) {
    std::vector<float> volume(total.size());
    merge_patch(Features<float>{buffer.data(), layout}, 0, grid.origin(i), 2, {}, volume.data(), size);
    for (size_t v = 0; v < total.size(); v++) total[v] += volume[v];
  }
  for (const float t : total) REQUIRE(t == 1);
}

TEST_CASE(
    "the planes that the first patches read, and those that later ones leave alone, for all depths from 1 to 40") {
  for (int depth = 1; depth <= 40; depth++)
    for (const auto& [patch, margin] : {std::pair{7, 3}, {5, 0}, {8, 1}, {16, 5}, {24, 8}})
      for (const auto& [h, w] : {std::pair{1, 1}, {3, 2}}) {
        INFO("depth " << depth << ", patch " << patch << ", margin " << margin << ", " << h * w << " patches a layer");
        const PatchGrid grid = make_patch_grid({depth, h, w}, {patch, 2 * margin + 1, 2 * margin + 1}, margin);
        const Layout layout = dense_layout(grid.patch);
        std::vector<double> buffer(static_cast<size_t>(buffer_elements(layout, 1)));
        const Features<double> f{buffer.data(), layout};
        std::vector<float> planes(static_cast<size_t>(grid.volume.voxels()));  // each voxel: its plane, from 1
        for (size_t i = 0; i < planes.size(); i++) planes[i] = static_cast<float>(i / static_cast<size_t>(h * w) + 1);
        std::vector<int> last_writer(static_cast<size_t>(depth), -1);
        double read = 0;
        REQUIRE(grid.planes_read(0) == 0);
        for (int i = 0; i < grid.count(); i++) {
          for (const Pad pad : {Pad::zero, Pad::reflect}) {
            gather_patch(planes.data(), grid.volume, grid.origin(i), pad, {}, f, 0);
            read = std::max(read, *std::max_element(buffer.begin(), buffer.end()));
          }
          if (grid.planes_read(i + 1) != read) FAIL(i + 1 << " patches read " << read);
          std::vector<float> written(planes.size(), 0);
          std::fill(buffer.begin(), buffer.end(), 1);
          merge_patch(f, 0, grid.origin(i), margin, {}, written.data(), grid.volume);
          const Box box = grid.interior(i);
          for (int z = 0; z < depth; z++)
            for (int y = 0; y < h; y++)
              for (int x = 0; x < w; x++) {
                const bool inside = z >= box.z0 && z < box.z1 && y >= box.y0 && y < box.y1 && x >= box.x0 && x < box.x1;
                if (inside != (written[(z * h + y) * w + x] != 0)) FAIL("the interior of " << i);
                if (inside) last_writer[z] = i;
              }
        }
        for (int n = 0; n <= grid.count(); n++) {
          const auto later = std::find_if(last_writer.begin(), last_writer.end(), [n](int last) { return last >= n; });
          if (grid.planes_done(n) != later - last_writer.begin()) FAIL(n << " patches");
        }
      }
  SUCCEED();
}

TEST_CASE("patch counts of the scans in the figures") {
  CHECK(make_patch_grid({256, 320, 320}, {70, 70, 70}, 3).count() == 100);
  CHECK(make_patch_grid({181, 217, 181}, {70, 70, 70}, 3).count() == 36);
  CHECK(make_patch_grid({1, 1, 1}, {70, 70, 70}, 3).count() == 1);
}

TEST_CASE("gathered voxels are normalised, and what lies outside is zero or mirrored") {
  const Size3 size{2, 3, 4};
  std::vector<float> volume(24);
  for (size_t i = 0; i < volume.size(); i++) volume[i] = static_cast<float>(10 + i);
  const Layout layout = padded_layout({5, 6, 9});
  const Intensity intensity{10, 2};
  const Origin origin{-1, -2, -3};
  for (const Pad pad : {Pad::zero, Pad::reflect}) {
    std::vector<float> buffer(static_cast<size_t>(buffer_elements(layout, 2)), NAN);
    const Features<float> f{buffer.data(), layout};
    gather_patch(volume.data(), size, origin, pad, intensity, f, 1);
    const auto mirrored = [](int i, int n) {
      while (i < 0 || i >= n) i = i < 0 ? -i : 2 * (n - 1) - i;
      return i;
    };
    for (int z = 0; z < 5; z++)
      for (int y = 0; y < 6; y++)
        for (int x = 0; x < layout.row; x++) {
          const int vz = origin.z + z, vy = origin.y + y, vx = origin.x + x;
          const bool inside = vz >= 0 && vy >= 0 && vx >= 0 && vz < 2 && vy < 3 && vx < 4;
          float expected = 0;
          if (x < 9 && (inside || pad == Pad::reflect))
            expected = static_cast<float>((mirrored(vz, 2) * 3 + mirrored(vy, 3)) * 4 + mirrored(vx, 4)) / 2;
          REQUIRE(f.at(1, z, y)[x] == expected);
        }
    for (ptrdiff_t i = 0; i < layout.channel; i++) REQUIRE(std::isnan(buffer[i]));
  }
}

TEST_CASE("merging undoes the normalisation and touches nothing else") {
  const Size3 size{4, 4, 4};
  std::vector<float> volume(64, -1);
  const Layout layout = dense_layout({4, 4, 4});
  std::vector<double> buffer(static_cast<size_t>(buffer_elements(layout, 1)));
  for (size_t i = 0; i < 64; i++) buffer[i] = static_cast<double>(i);
  merge_patch(Features<double>{buffer.data(), layout}, 0, {2, 0, -1}, 1, {5, 3}, volume.data(), size);
  for (int z = 0; z < 4; z++)
    for (int y = 0; y < 4; y++)
      for (int x = 0; x < 4; x++) {
        const bool written = z == 3 && (y == 1 || y == 2) && x <= 1;
        const float expected = written ? static_cast<float>(((z - 2) * 4 + y) * 4 + x + 1) * 3 + 5 : -1;
        REQUIRE(volume[(z * 4 + y) * 4 + x] == expected);
      }
}

TEST_CASE("a margin that leaves nothing is refused") {
  CHECK_THROWS_AS(make_patch_grid({9, 9, 9}, {70, 6, 70}, 3), Error);
  CHECK_THROWS_AS(make_patch_grid({9, 9, 9}, {70, 70, 70}, -1), Error);
  CHECK_NOTHROW(make_patch_grid({9, 9, 9}, {7, 7, 7}, 3));
}
