// Comparison pictures: slices stand upright whatever the order and direction of the voxel axes.
#include "engine/report/picture.h"

#include <png.h>

#include <algorithm>
#include <cmath>

#include "engine/base/status.h"
#include "tests/support/catch.h"

using namespace sr;

namespace {

struct Picture {
  unsigned width, height;
  std::vector<uint8_t> grey;
};

Picture draw(const std::vector<NamedVolume>& volumes, const double (&affine)[4][4]) {
  const std::vector<uint8_t> bytes = comparison_png(volumes, affine);
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  REQUIRE(png_image_begin_read_from_memory(&png, bytes.data(), bytes.size()) != 0);
  png.format = PNG_FORMAT_GRAY;
  Picture picture{png.width, png.height, std::vector<uint8_t>(PNG_IMAGE_SIZE(png))};
  REQUIRE(png_image_finish_read(&png, nullptr, picture.grey.data(), 0, nullptr) != 0);
  return picture;
}

Volume pattern(Size3 size) {  // no symmetry
  Volume volume(size);
  for (int z = 0; z < size.d; ++z)
    for (int y = 0; y < size.h; ++y)
      for (int x = 0; x < size.w; ++x)
        volume.at(z, y, x) =
            static_cast<float>(50 + 3 * x + 2 * y + z + 20 * std::sin(0.7 * x) * std::cos(0.5 * y * z));
  return volume;
}

}  // namespace

TEST_CASE("the picture does not depend on how voxels are stored") {
  const double ras[4][4] = {{1, 0, 0, -9}, {0, 1.2, 0, -8}, {0, 0, 1.5, -7}, {0, 0, 0, 1}};
  const Volume upright = pattern({13, 15, 18});
  const Picture expected = draw({{"test", &upright}, {"truth", &upright}}, ras);
  REQUIRE(!expected.grey.empty());
  CHECK(*std::max_element(expected.grey.begin(), expected.grey.end()) > 200);

  // The same anatomy with i running downwards, j to the left and k forwards.
  const double other[4][4] = {{0, -1, 0, 8}, {0, 0, 1.2, -8}, {-1.5, 0, 0, 11}, {0, 0, 0, 1}};
  Volume stored({15, 18, 13});
  for (int z = 0; z < 13; ++z)
    for (int y = 0; y < 15; ++y)
      for (int x = 0; x < 18; ++x) stored.at(y, 17 - x, 12 - z) = upright.at(z, y, x);
  const Picture same = draw({{"test", &stored}, {"truth", &stored}}, other);
  REQUIRE(same.width == expected.width);
  REQUIRE(same.height == expected.height);
  int worst = 0;  // interpolation runs the other way, so a grey level may round differently
  for (size_t i = 0; i < same.grey.size(); ++i) worst = std::max(worst, std::abs(same.grey[i] - expected.grey[i]));
  CHECK(worst <= 1);

  // Without the turn it is another picture.
  const Picture turned = draw({{"test", &stored}, {"truth", &stored}}, ras);
  CHECK(turned.grey != expected.grey);
}

TEST_CASE("the patient's right is on the left and the front on top") {
  const double ras[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
  Volume volume({20, 20, 20});
  for (int z = 0; z < 20; ++z)
    for (int y = 10; y < 20; ++y)                              // front
      for (int x = 10; x < 20; ++x) volume.at(z, y, x) = 100;  // right
  const Picture picture = draw({{"", &volume}}, ras);
  const unsigned top = 26, cell = 360;  // below the caption
  const auto at = [&](unsigned x, unsigned y) { return picture.grey[(top + y) * picture.width + x]; };
  CHECK(at(cell / 4, cell / 8) > 250);
  CHECK(at(3 * cell / 4, cell / 8) < 5);
  CHECK(at(cell / 4, 7 * cell / 8) < 5);
}

TEST_CASE("pictures of odd volumes, and of none") {
  const double ras[4][4] = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}, {0, 0, 0, 1}};
  const double broken[4][4] = {{NAN, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 0, 1}};
  const Volume dot({1, 1, 1}), plate = pattern({1, 30, 40}), constant({4, 5, 6});
  CHECK(!draw({{"one voxel", &dot}}, ras).grey.empty());
  CHECK(!draw({{"one slice", &plate}}, ras).grey.empty());
  CHECK(!draw({{"nothing to see \xc3\xa4", &constant}}, broken).grey.empty());
  CHECK_THROWS_AS(comparison_png({}, ras), Error);
  CHECK_THROWS_AS(comparison_png({{"a", &dot}, {"b", &plate}}, ras), Error);
}
