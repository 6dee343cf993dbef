// degrade, upsample, evaluate and phantom as users call them: results, exit codes, messages, files left behind.
#include <cstdio>
#include <fstream>

#include "engine/images/metrics.h"
#include "engine/images/resample.h"
#include "tests/tools/command_checks.h"

using namespace sr;
using namespace sr::test;
namespace fs = std::filesystem;

namespace {

const Words small{"phantom", "-o", "head.nii.gz", "--size", "30x37x31", "--voxel", "6x6x6"};

}  // namespace

TEST_CASE("a phantom is degraded, brought back and evaluated") {
  const TemporaryFolder folder;
  done(folder, joined(small, {"--labels", "labels.nii.gz"}));
  done(folder, {"degrade", "head.nii.gz", "-o", "low.nii.gz"});
  done(folder, {"degrade", "head.nii.gz", "-o", "filled.nii", "--method", "sinc"});
  done(folder, {"degrade", "head.nii.gz", "-o", "native.nii.gz", "--grid", "native"});
  done(folder, {"upsample", "native.nii.gz", "--like", "head.nii.gz", "-o", "linear.nii.gz"});
  done(folder, {"upsample", "native.nii.gz", "--like", "head.nii.gz", "--method", "sinc", "-o", "sinc.nii.gz"});
  done(folder, {"upsample", "native.nii.gz", "--factor", "2x2x1", "--method", "cubic", "-o", "cubic.nii.gz"});

  const Volume head = read_scan(folder / "head.nii.gz");
  CHECK(head.size == Size3{31, 37, 30});
  CHECK(read_scan(folder / "labels.nii.gz").size == head.size);
  CHECK(read_scan(folder / "native.nii.gz").size == Size3{31, 19, 15});
  CHECK(read_scan(folder / "cubic.nii.gz").size == Size3{31, 38, 30});  // 19 x 2: only --like knows that it was 37
  CHECK(read_scan(folder / "low.nii.gz").data == degrade(head, {2, 2, 1}, Interpolation::linear).data);
  CHECK(read_scan(folder / "filled.nii").data == degrade(head, {2, 2, 1}, Interpolation::sinc).data);
  CHECK(read_scan(folder / "linear.nii.gz").data == read_scan(folder / "low.nii.gz").data);
  CHECK(read_scan(folder / "sinc.nii.gz").data == read_scan(folder / "filled.nii").data);

  const nlohmann::json sidecar = read_json(folder / "native.json");
  CHECK(sidecar.at("degradation").at("factor") == nlohmann::json({2, 2, 1}));
  CHECK(sidecar.at("degradation").at("axes") == nlohmann::json({"i", "j"}));
  CHECK(sidecar.at("degradation").at("grid") == "native");

  const Outcome table = done(
      folder, {"evaluate", "-r", "head.nii.gz", "low.nii.gz", "sinc.nii.gz", "--json", "e.json", "--png", "e.png"});
  const Metrics m = compare(head, read_scan(folder / "sinc.nii.gz"), 2);
  char figures[64];
  std::snprintf(figures, sizeof figures, "%8.3f  %7.5f  %7.5f", m.psnr, m.ssim, m.nrmse);
  INFO(table.out);
  CHECK(table.out.find(figures) != std::string::npos);
  const nlohmann::json json = read_json(folder / "e.json");
  CHECK(json.at("plane") == 2);
  CHECK(json.at("tests").at(1).at("psnr").get<double>() == Approx(m.psnr).epsilon(1e-12));
  CHECK(json.at("tests").at(1).at("volumes").at(0).at("slices").size() == m.slices.size());
  CHECK(fs::file_size(folder / "e.png") > 10000);
}

TEST_CASE("a marker keeps its place in the world on the native grid and back") {
  const TemporaryFolder folder;
  done(folder, small);
  done(folder, {"degrade", "head.nii.gz", "-o", "native.nii.gz", "--grid", "native", "--factor", "1.5x2x3"});
  done(folder, {"upsample", "native.nii.gz", "--like", "head.nii.gz", "-o", "back.nii.gz"});
  const ScanReader head(folder / "head.nii.gz"), native(folder / "native.nii.gz"), back(folder / "back.nii.gz");
  CHECK(native.info().size == Size3{10, 19, 20});
  const double n[3] = {30, 37, 31}, m[3] = {20, 19, 10}, marker[3] = {7, 20, 13};  // in voxels of the head
  for (int row = 0; row < 3; ++row) {
    double at_head = head.info().affine()[row][3], at_native = native.info().affine()[row][3],
           at_back = back.info().affine()[row][3];
    for (int axis = 0; axis < 3; ++axis) {
      at_head += head.info().affine()[row][axis] * marker[axis];
      at_native += native.info().affine()[row][axis] * marker[axis] * m[axis] / n[axis];
      at_back += back.info().affine()[row][axis] * marker[axis];
    }
    CHECK(at_native == Approx(at_head).margin(0.01));  // mm
    CHECK(at_back == Approx(at_head).margin(0.01));
  }
}

TEST_CASE("the plane of evaluation follows the sidecar") {
  const TemporaryFolder folder;
  done(folder, small);
  done(folder, {"degrade", "head.nii.gz", "-o", "low.nii.gz", "--factor", "2x1x2"});
  done(folder, {"evaluate", "-r", "head.nii.gz", "low.nii.gz", "--json", "auto.json"});
  CHECK(read_json(folder / "auto.json").at("plane") == 1);
  done(folder, {"evaluate", "-r", "head.nii.gz", "low.nii.gz", "--json", "asked.json", "--plane", "0"});
  CHECK(read_json(folder / "asked.json").at("plane") == 0);
  std::ofstream(folder / "low.json") << R"({"EchoTime": 0.003})";  // a BIDS sidecar says nothing about it
  done(folder, {"evaluate", "-r", "head.nii.gz", "low.nii.gz", "--json", "bids.json"});
  CHECK(read_json(folder / "bids.json").at("plane") == 2);
  std::ofstream(folder / "low.json") << R"({"degradation": {"factor": "two"}})";
  refused(folder, {"evaluate", "-r", "head.nii.gz", "low.nii.gz"}, 3, "low.json");
}

TEST_CASE("what cannot be done is refused in one sentence and leaves nothing behind") {
  const TemporaryFolder folder;
  done(folder, small);
  done(folder, {"phantom", "-o", "other.nii.gz", "--size", "30x37x31", "--voxel", "6x6x6.2"});
  done(folder, {"phantom", "-o", "smaller.nii.gz", "--size", "30x37x30", "--voxel", "6x6x6"});
  refused(folder, {"degrade", "head.nii.gz", "-o", "low.nii.gz", "--factor", "0x2x1"}, 2, "0x2x1");
  refused(folder, {"degrade", "head.nii.gz", "-o", "low.nii.gz", "--factor", "0.5x2x1"}, 2, "0.5x2x1");
  refused(folder, {"degrade", "head.nii.gz", "-o", "low.nii.gz", "--factor", "2x2"}, 2, "2x2");
  refused(folder, {"degrade", "head.nii.gz", "-o", "low.nii.gz", "--factor", "31x1x1"}, 2, "larger than the image");
  refused(folder, {"degrade", "head.nii.gz", "-o", "low.nii.gz", "--grid", "coarse"}, 2, "coarse");
  refused(folder, {"degrade", "head.nii.gz", "-o", "head.nii.gz"}, 2, "overwritten");
  refused(folder, {"degrade", "head.nii.gz", "-o", "low.txt"}, 2, "low.txt");
  refused(folder, {"degrade", "missing.nii.gz", "-o", "low.nii.gz"}, 3, "missing.nii.gz");
  refused(folder, {"degrade", "head.nii.gz", "-o", "no/such/low.nii.gz"}, 5, "no/such");
  refused(folder, {"upsample", "head.nii.gz", "--like", "smaller.nii.gz", "-o", "up.nii.gz"}, 3,
          "same part of the world");
  refused(folder, {"upsample", "head.nii.gz", "--factor", "5000x1x1", "-o", "up.nii.gz"}, 2, "32767");
  refused(folder, {"upsample", "head.nii.gz", "-o", "up.nii.gz"}, 2, "");
  refused(folder, {"upsample", "head.nii.gz", "--method", "lanczos", "--factor", "2x2x1", "-o", "up.nii.gz"}, 2,
          "lanczos");
  refused(folder, {"evaluate", "-r", "head.nii.gz", "smaller.nii.gz"}, 3, "different grids");
  refused(folder, {"evaluate", "-r", "head.nii.gz", "other.nii.gz"}, 3, "different places");
  refused(folder, {"evaluate", "-r", "head.nii.gz", "head.nii.gz", "--plane", "3"}, 2, "plane");
  refused(folder, {"evaluate", "-r", "head.nii.gz", "other.nii.gz", "missing.nii"}, 3, "");
  refused(folder, {"phantom", "-o", "p.nii.gz", "--size", "0x4x4"}, 2, "0x4x4");
  refused(folder, {"phantom", "-o", "p.nii.gz", "--size", "4000x4x4"}, 2, "2048");
  refused(folder, {"phantom", "-o", "p.nii.gz", "--voxel", "1x0x1"}, 2, "1x0x1");
  refused(folder, {"phantom", "-o", "p.nii.gz", "--noise", "-1"}, 2, "-1");
  refused(folder, {"phantom", "-o", "p.nii.gz", "--size", "8x8x8", "--labels", "no/such/l.nii"}, 5, "no/such");
  refused(folder, {"phantom", "-o", "p.nii.gz", "--size", "8x8x8", "--labels", "./p.nii.gz"}, 2,
          "overwritten by the labels");
  refused(folder, {"phantom", "-o", "p.hdr", "--size", "8x8x8", "--labels", "p.img"}, 2, "overwritten by the labels");

  // A constant reference.
  const ScanReader head(folder / "head.nii.gz");
  ScanWriter writer(folder / "constant.nii.gz", head, {});
  writer.write(Volume(head.info().size));
  writer.commit();
  refused(folder, {"evaluate", "-r", "constant.nii.gz", "head.nii.gz"}, 3, "constant");
}

TEST_CASE("a 4D scan is degraded and evaluated volume by volume") {
  const TemporaryFolder folder;
  const std::string scan = SR_TEST_DATA "/golden/nifti/four_d.nii.gz";  // 4x3x2, five volumes
  done(folder, {"degrade", scan, "-o", "low.nii.gz", "--factor", "1.5x2x1"});
  ScanReader high(fs::path{scan}), low(folder / "low.nii.gz");
  REQUIRE(high.info().n_volumes == 5);
  REQUIRE(low.info().n_volumes == 5);
  for (int64_t t = 0; t < 5; ++t)
    CHECK(low.read(t).data == degrade(high.read(t), {1.5, 2, 1}, Interpolation::linear).data);
  done(folder, {"evaluate", "-r", scan, "low.nii.gz", "--json", "e.json", "--png", "e.png"});
  const nlohmann::json test = read_json(folder / "e.json").at("tests").at(0);
  REQUIRE(test.at("volumes").size() == 5);
  CHECK(test.at("ssim").is_null());  // its window does not fit
  double sum = 0;
  for (const nlohmann::json& volume : test.at("volumes")) sum += volume.at("psnr").get<double>();
  CHECK(test.at("psnr").get<double>() == Approx(sum / 5));
}

TEST_CASE("a warning names its file once") {
  const TemporaryFolder folder;
  fs::copy(SR_TEST_DATA "/golden/nifti/int16.nii", folder / "scan.nii");
  std::fstream file(folder / "scan.nii", std::ios::binary | std::ios::in | std::ios::out);
  file.seekp(72).put(7);  // bitpix, which the reader doubts and the datatype overrules
  file.close();
  for (const std::string command : {"degrade", "upsample"}) {
    const Outcome outcome = done(folder, {command, "scan.nii", "-o", command + ".nii", "--factor", "1x1x1"});
    INFO(outcome.err);
    CHECK(outcome.err.find("srengine: warning: scan.nii has bitpix 7") != std::string::npos);
  }
}

TEST_CASE("voxels that are not finite are reported, and refused by metrics") {
  const TemporaryFolder folder;
  const std::string scan = SR_TEST_DATA "/golden/nifti/nonfinite.nii";
  const Outcome degraded = done(folder, {"degrade", scan, "-o", "low.nii", "--factor", "1x1x1"});
  INFO(degraded.err);
  CHECK(degraded.err.find("warning: " + scan + " has 3 voxels that are not finite and were taken as 0") !=
        std::string::npos);
  refused(folder, {"evaluate", "-r", scan, "low.nii"}, 3, "not finite");
}
