// degrade, upsample and run --upsample as users call them: noise, sidecars, sizes, factors, what was measured.
#include <cmath>

#include "engine/images/kspace.h"
#include "engine/images/noise.h"
#include "engine/images/resample.h"
#include "tests/support/volume_check.h"
#include "tests/tools/command_checks.h"
#include "weights/weights_file.h"

using namespace sr;
using namespace sr::test;
namespace fs = std::filesystem;

namespace {

const fs::path golden = fs::path(SR_TEST_DATA) / "golden";
const std::string network = (golden / "network" / "b1u1-k4.bin").string();
const std::string four_d = (golden / "nifti" / "four_d.nii.gz").string();  // 4x3x2, five volumes

Volume pattern(Size3 size) {  // asymmetric, positive
  return filled(size, [](int z, int y, int x) {
    return 120 + 50 * std::sin(0.9 * x + 0.4 * y) * std::cos(0.5 * z) + (x * y + 3 * z) % 11;
  });
}

// run with the small network in small patches, and `more`.
Words run(const Words& more) {
  return joined({"run", "--weights", network, "--patch", "24"}, more);
}

struct Moments {
  double mean, sd;
};

Moments moments(const Volume& v) {
  double mean = 0, squares = 0;
  const double n = static_cast<double>(v.data.size());
  for (const float x : v.data) mean += x / n;
  for (const float x : v.data) squares += (x - mean) * (x - mean);
  return {mean, std::sqrt(squares / n)};
}

// to + weight * (from - to)
Volume blend(const Volume& to, const Volume& from, double weight) {
  Volume v = to;
  for (size_t i = 0; i < v.data.size(); i++)
    v.data[i] = static_cast<float>(to.data[i] + weight * (static_cast<double>(from.data[i]) - to.data[i]));
  return v;
}

Volume minus(const Volume& a, const Volume& b) {
  Volume v = a;
  for (size_t i = 0; i < v.data.size(); i++) v.data[i] -= b.data[i];
  return v;
}

}  // namespace

TEST_CASE("--noise: Rician, of the deviation asked for where the image is bright, Rayleigh where it is dark") {
  const TemporaryFolder folder;
  const Size3 size{24, 32, 32};  // 6144 voxels on the coarse grid
  const double sd = 20;
  write_scan(folder / "bright.nii", filled(size, [](int, int, int) { return 1000; }));
  write_scan(folder / "dark.nii", Volume(size));
  for (const char* name : {"bright", "dark"})
    done(folder, {"degrade", std::string(name) + ".nii", "-o", std::string(name) + "_low.nii", "--grid", "native",
                  "--noise", "20", "--seed", "3"});
  // Four standard errors: sd / sqrt(2 n) of a deviation, 0.655 sd / sqrt(n) of Rayleigh's mean.
  const Volume bright = read_scan(folder / "bright_low.nii"), dark = read_scan(folder / "dark_low.nii");
  REQUIRE(bright.data.size() == 6144);
  CHECK(moments(bright).sd == Approx(sd).epsilon(0.036));
  CHECK(moments(bright).mean == Approx(1000 + sd * sd / 2000).epsilon(0.001));
  CHECK(moments(dark).mean == Approx(std::sqrt(std::acos(-1) / 2) * sd).epsilon(0.027));  // 1.2533 sd
  CHECK(moments(dark).sd == Approx(std::sqrt(2 - std::acos(-1) / 2) * sd).epsilon(0.036));
  CHECK(*std::min_element(dark.data.begin(), dark.data.end()) >= 0);
  // Neighbours have nothing in common.
  double product = 0;
  for (size_t i = 1; i < bright.data.size(); i++) product += (bright.data[i] - 1000.0) * (bright.data[i - 1] - 1000.0);
  CHECK(std::abs(product / (6144 * sd * sd)) < 0.052);
}

TEST_CASE("--seed: the same voxels again, others for another; each volume has noise of its own") {
  const TemporaryFolder folder;
  write_scan(folder / "head.nii", pattern({6, 11, 13}));
  const auto degraded = [&](const Words& more) {
    done(folder, joined({"degrade", "head.nii", "-o", "low.nii"}, more));
    return read_scan(folder / "low.nii").data;
  };
  const auto seven = degraded({"--noise", "9", "--seed", "7"});
  CHECK(degraded({"--noise", "9", "--seed", "7"}) == seven);
  CHECK(degraded({"--noise", "9", "--seed", "8"}) != seven);
  CHECK(degraded({"--noise", "9"}) == degraded({"--noise", "9", "--seed", "0"}));
  CHECK(degraded({"--noise", "0", "--seed", "7"}) == degraded({}));
  CHECK(degraded({}) != seven);

  // The noise is the coarse image's; interpolation comes after it.
  done(folder, {"degrade", "head.nii", "-o", "native.nii", "--grid", "native", "--noise", "9", "--seed", "7"});
  CHECK(upsample(read_scan(folder / "native.nii"), {6, 11, 13}, Interpolation::linear).data == seven);

  done(folder, {"degrade", four_d, "-o", "series.nii", "--grid", "native", "--noise", "9", "--seed", "7"});
  ScanReader high(fs::path{four_d}), low(folder / "series.nii");
  REQUIRE(low.info().n_volumes == 5);
  for (int64_t t = 0; t < 5; t++) {
    Volume expected = truncate_kspace(high.read(t), {2, 2, 1});
    add_rician_noise(expected, 9, 7 + static_cast<uint64_t>(t));
    CHECK(low.read(t).data == expected.data);
  }
}

TEST_CASE("the sidecar says factor, axes and grid, how the grid was filled, and the noise") {
  const TemporaryFolder folder;
  write_scan(folder / "head.nii", pattern({6, 11, 13}));
  const auto sidecar = [&](const Words& more) {
    fs::remove(folder / "low.json");
    done(folder, joined({"degrade", "head.nii", "-o", "low.nii"}, more));
    return read_json(folder / "low.json");
  };
  using Json = nlohmann::json;
  const std::string kind = "k-space truncation";
  CHECK(sidecar({}) == Json{{"program", "srengine"},
                            {"version", SRENGINE_VERSION},
                            {"source", "head.nii"},
                            {"degradation",
                             {{"kind", kind},
                              {"factor", {2.0, 2.0, 1.0}},
                              {"axes", {"i", "j"}},
                              {"grid", "input"},
                              {"method", "linear"}}}});
  CHECK(sidecar({"--method", "sinc", "--factor", "1x1x1.5"}).at("degradation") == Json{{"kind", kind},
                                                                                       {"factor", {1.0, 1.0, 1.5}},
                                                                                       {"axes", Json::array({"k"})},
                                                                                       {"grid", "input"},
                                                                                       {"method", "sinc"}});
  CHECK(sidecar({"--grid", "native", "--factor", "1x1x1", "--noise", "2.5", "--seed", "11"}).at("degradation") ==
        Json{{"kind", kind},
             {"factor", {1.0, 1.0, 1.0}},
             {"axes", Json::array()},
             {"grid", "native"},
             {"noise", {{"kind", "Rician"}, {"sd", 2.5}, {"seed", 11}}}});

  // One that is there keeps its other keys; what is no JSON object is not touched.
  std::ofstream(folder / "low.json") << R"({"EchoTime": 0.003, "source": "elsewhere"})";
  done(folder, {"degrade", "head.nii", "-o", "low.nii"});
  CHECK(read_json(folder / "low.json").at("EchoTime") == 0.003);
  CHECK(read_json(folder / "low.json").at("source") == "head.nii");
  const Bytes low = read_bytes(folder / "low.nii");
  for (const std::string text : {"my notes", "[1, 2]"}) {
    std::ofstream(folder / "low.json") << text;
    refused(folder, {"degrade", "head.nii", "-o", "low.nii", "--factor", "3x1x1"}, 5, "low.json is there already");
    CHECK(read_text(folder / "low.json") == text);
    CHECK(read_bytes(folder / "low.nii") == low);
  }
}

TEST_CASE("degrade: odd and prime sizes, fractions, down to one sample") {
  const TemporaryFolder folder;
  struct Case {
    Size3 size;
    Factors factors;
    std::string text;
    Size3 low;
  };
  const Case c =
      GENERATE(Case{{7, 17, 19}, {2, 2, 1}, "2x2x1", {7, 9, 10}},  // 8.5 and 9.5 round up
               Case{{13, 15, 11}, {1.5, 4, 2.5}, "1.5x4x2.5", {5, 4, 7}},
               Case{{5, 7, 13}, {13, 7, 5}, "13x7x5", {1, 1, 1}}, Case{{1, 3, 2}, {1, 1.4, 1}, "1x1.4x1", {1, 2, 2}});
  CAPTURE(c.text);
  const Volume head = pattern(c.size);
  write_scan(folder / "head.nii", head, 1.5);
  done(folder, {"degrade", "head.nii", "-o", "native.nii", "--factor", c.text, "--grid", "native"});
  done(folder, {"degrade", "head.nii", "-o", "input.nii.gz", "--factor", c.text, "--method", "sinc"});
  done(folder, {"upsample", "native.nii", "--like", "head.nii", "--method", "sinc", "-o", "back.nii"});
  const ScanReader native(folder / "native.nii");
  CHECK(native.info().size == c.low);
  CHECK(read_scan(folder / "native.nii").data == truncate_kspace(head, c.factors).data);
  CHECK(read_scan(folder / "input.nii.gz").data == degrade(head, c.factors, Interpolation::sinc).data);
  CHECK(read_scan(folder / "back.nii").data == read_scan(folder / "input.nii.gz").data);
  CHECK(native.info().pixdim[1] == Approx(1.0 * c.size.w / c.low.w));
  CHECK(native.info().pixdim[2] == Approx(1.0 * c.size.h / c.low.h));
  CHECK(native.info().pixdim[3] == Approx(1.5 * c.size.d / c.low.d));
}

TEST_CASE("factors that are none are refused by every command that takes them") {
  const TemporaryFolder folder;
  write_scan(folder / "head.nii", pattern({4, 5, 6}));
  write_scan(folder / "other.nii", pattern({4, 5, 6}));
  for (const char* factors :
       {"0x2x1", "-2x2x1", "0.5x1x1", "2x2", "2x2x1x1", "axbxc", "2x2xc", "nanx1x1", "infx1x1", "2,2,1", "2x2x1 "}) {
    const std::string hint = "'" + std::string(factors) + "' is no set of factors";
    refused(folder, {"degrade", "head.nii", "-o", "low.nii", std::string("--factor=") + factors}, 2, hint);
    refused(folder, {"upsample", "head.nii", "-o", "high.nii", std::string("--factor=") + factors}, 2, hint);
    refused(folder, run({"head.nii", std::string("--upsample=") + factors}), 2, hint);
    // Found before the work begins: no scan is blamed for it, and no report is written.
    refused(
        folder,
        run({"head.nii", "other.nii", "-o", "out/", "--json", "r.json", std::string("--data-consistency=") + factors}),
        2, hint);
  }
  refused(folder, {"degrade", "head.nii", "-o", "low.nii", "--factor", "1x5.5x1"}, 2, "larger than the image");
  refused(folder, run({"head.nii", "--data-consistency", "7x1x1"}), 2, "larger than the image");
  refused(folder, run({"head.nii", "--upsample", "9999x1x1"}), 2, "32767");
}

TEST_CASE("degrade, upsample and run: what cannot be read or written leaves nothing behind") {
  const TemporaryFolder folder;
  write_scan(folder / "head.nii", pattern({4, 6, 8}));
  write_bytes(folder / "garbage.nii", Bytes(400, 'x'));
  done(folder, {"degrade", "head.nii", "-o", "native.nii", "--grid", "native"});
  const Bytes head = read_bytes(folder / "head.nii"), native = read_bytes(folder / "native.nii");
  for (const char* noise : {"-1", "nan", "inf", "much"})
    refused(folder, {"degrade", "head.nii", "-o", "low.nii", "--noise", noise}, 2, "--noise");
  refused(folder, {"degrade", "head.nii", "-o", "low.nii", "--seed", "one"}, 2, "--seed");
  refused(folder, {"degrade", "garbage.nii", "-o", "low.nii"}, 3, "garbage.nii");
  refused(folder, {"degrade", "head.nii", "-o", "head.nii.gz"}, 2, "head.json");  // it would describe both

  for (const char* scan : {"garbage.nii", "missing.nii"})
    refused(folder, {"upsample", scan, "--factor", "2x2x1", "-o", "high.nii"}, 3, scan);
  for (const char* like : {"garbage.nii", "missing.nii"})
    refused(folder, {"upsample", "native.nii", "--like", like, "-o", "high.nii"}, 3, like);
  refused(folder, {"upsample", "native.nii", "--factor", "2x2x1", "-o", "no/such/high.nii"}, 5, "no/such");
  refused(folder, {"upsample", "native.nii", "--factor", "2x2x1", "-o", "./native.nii"}, 2, "would be overwritten");
  refused(folder, {"upsample", "native.nii", "--like", "head.nii", "-o", "./head.nii"}, 2, "would be overwritten");
  refused(folder, {"upsample", "native.nii", "--like", "head.nii", "--factor", "2x2x1", "-o", "high.nii"}, 2,
          "--factor");
  refused(folder, {"upsample", "head.nii", "--like", "native.nii", "-o", "high.nii"}, 2, "would lose samples");

  refused(folder, run({"missing.nii", "-o", "folder/"}), 3, "missing.nii");
  for (const char* weight : {"-0.1", "1.5", "half"})
    refused(folder, run({"head.nii", "--consistency-weight", weight}), 2, "--consistency-weight");
  // The sidecar says what data consistency needs: figures are not to replace it.
  refused(folder, run({"native.nii", "-o", "r.nii", "--json", "native.json"}), 2, "native.json would be overwritten");
  CHECK(read_bytes(folder / "head.nii") == head);
  CHECK(read_bytes(folder / "native.nii") == native);
}

TEST_CASE("a constant image stays one; one without a finite voxel is taken as 0, with a warning") {
  const TemporaryFolder folder;
  const Size3 size{4, 6, 8};
  write_scan(folder / "constant.nii", filled(size, [](int, int, int) { return 300; }));
  write_scan(folder / "nan.nii", filled(size, [](int, int, int) { return NAN; }));
  for (const Words& call : {Words{"degrade", "--factor", "2x2x1"}, Words{"upsample", "--factor", "2x2x1"},
                            run({"--upsample", "2x2x1", "--quiet"})}) {
    CAPTURE(call[0]);
    const auto result = [&](const std::string& scan, const std::string& warning) {
      CHECK(done(folder, joined(call, {scan, "-o", "result.nii"})).err == warning);
      return read_scan(folder / "result.nii");
    };
    const Volume constant = result("constant.nii", "");
    const Volume zero =
        result("nan.nii", "srengine: warning: nan.nii has 192 voxels that are not finite and were taken as 0\n");
    for (const Volume& v : {constant, zero})
      CHECK(std::all_of(v.data.begin(), v.data.end(), [](float x) { return std::isfinite(x); }));
    if (call[0] == "run") continue;  // a network may make anything of it
    CHECK(moments(constant).mean == Approx(300));
    CHECK(moments(constant).sd < 1e-3);
    CHECK(moments(zero).mean == 0);
    CHECK(moments(zero).sd == 0);
  }
}

TEST_CASE("run --upsample --change: result minus interpolated input, voxel for voxel") {
  const TemporaryFolder folder;
  const Volume low = pattern({5, 7, 9});
  write_scan(folder / "low.nii", low);
  done(folder, run({"low.nii", "-o", "r.nii", "--change", "c.nii", "--upsample", "2x1.5x1"}));
  const Volume input = upsample(low, {5, 11, 18}, Interpolation::linear), change = read_scan(folder / "c.nii");
  CHECK(change.data == minus(read_scan(folder / "r.nii"), input).data);
  CHECK(moments(change).sd > 0.1);  // there is something to see
}

TEST_CASE("run --paper: batch-norm of each patch and no data consistency, unless asked for") {
  const TemporaryFolder folder;
  Weights weights = load_weights(network);
  weights.model.batch_norm = BatchNorm::running;
  save_weights(folder / "w.bin", weights);
  write_scan(folder / "head.nii", pattern({6, 12, 14}));
  done(folder, {"degrade", "head.nii", "-o", "low.nii", "--method", "sinc"});
  const auto result = [&](const Words& more, const char* batch_norm, const nlohmann::json& consistency) {
    done(folder, joined({"run", "-w", "w.bin", "--patch", "24", "low.nii", "-o", "r.nii", "--json", "r.json"}, more));
    const nlohmann::json json = read_json(folder / "r.json");
    CHECK(json.at("options").at("batch_norm") == batch_norm);
    CHECK(json.at("scans").at(0).at("data_consistency") == consistency);
    return read_scan(folder / "r.nii").data;
  };
  const auto paper = result({"--paper"}, "patch", nullptr);
  CHECK(result({"--batch-norm", "patch", "--data-consistency", "off"}, "patch", nullptr) == paper);
  CHECK(result({}, "running", 0.5) != paper);
  CHECK(result({"--batch-norm", "patch"}, "patch", 0.5) != paper);
  result({"--paper", "--batch-norm", "scan"}, "scan", nullptr);
  result({"--paper", "--data-consistency", "2x2x1"}, "patch", 1);
}

TEST_CASE("run: with data consistency the centre of k-space is the scan's, the rest the network's") {
  const TemporaryFolder folder;
  const bool native = GENERATE(true, false);  // --upsample of a scan on its own grid, or one on the output grid
  const Size3 size = GENERATE(Size3{5, 12, 14}, Size3{4, 13, 11});
  CAPTURE(native, size.h, size.w);
  const Volume head = pattern(size);
  const Size3 low = native ? size : low_grid(size, {2, 2, 1});
  const Size3 high = native ? high_grid(size, {2, 2, 1}) : size;
  write_scan(folder / "scan.nii", head);
  const auto result = [&](const Words& more) {
    Words words = run({"scan.nii", "-o", "r.nii"});
    if (native) words.insert(words.end(), {"--upsample", "2x2x1"});
    done(folder, joined(words, more));
    const Volume v = read_scan(folder / "r.nii");
    REQUIRE(v.size == high);
    return v;
  };
  const auto centre = [&](const Volume& v) { return measured_part(v, high, low); };
  const double rounding = 2e-6;  // of the largest voxel: float32 voxels, transforms in double
  const Volume alone = result({"--data-consistency", "off"});
  CHECK(difference(centre(alone), centre(head)).relative > 1000 * rounding);  // or else this would show nothing

  const Volume replaced = result({"--data-consistency", "2x2x1", "--consistency-weight", "1"});
  check_close(centre(replaced), centre(head), rounding);
  CHECK(result({"--data-consistency", "2x2x1"}).data == replaced.data);  // 1 by itself
  const Volume rest = minus(alone, centre(alone));
  CHECK(difference(minus(replaced, centre(replaced)), rest).relative < 1e-4);

  const Volume quarter = result({"--data-consistency", "2x2x1", "--consistency-weight", "0.25"});
  check_close(centre(quarter), blend(centre(alone), centre(head), 0.25), rounding);
  CHECK(result({"--data-consistency", "2x2x1", "--consistency-weight", "0"}).data == alone.data);
  if (!native) return;
  check_close(result({}), blend(alone, replaced, 0.5), rounding);  // auto: what --upsample says
}

TEST_CASE("run: a scan that was interpolated linearly is taken back to its own samples first") {
  const TemporaryFolder folder;
  const Size3 size{4, 12, 14};
  write_scan(folder / "head.nii", pattern(size));
  done(folder, {"degrade", "head.nii", "-o", "low.nii"});
  done(folder, run({"low.nii", "-o", "r.nii", "--data-consistency", "2x2x1"}));
  const Volume native = truncate_kspace(pattern(size), {2, 2, 1});
  const Volume expected = measured_part(native, size, native.size);
  check_close(measured_part(read_scan(folder / "r.nii"), size, native.size), expected, 2e-6);
  CHECK(difference(measured_part(read_scan(folder / "low.nii"), size, native.size), expected).relative > 1e-3);

  // 13 -> 7 -> 13: no sample but the first was kept.
  write_scan(folder / "odd.nii", pattern({4, 13, 14}));
  done(folder, {"degrade", "odd.nii", "-o", "low.nii"});
  refused(folder, run({"low.nii", "-o", "odd_r.nii", "--data-consistency", "2x2x1"}), 2, "no whole factor");
}
