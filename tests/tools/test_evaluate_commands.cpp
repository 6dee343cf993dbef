// `srengine evaluate` as users call it: what each option measures, against figures by hand, and where it is written.
#include <cmath>
#include <regex>
#include <set>
#include <utility>

#include "tests/tools/command_checks.h"

using namespace sr;
using namespace sr::test;
namespace fs = std::filesystem;

namespace {

Volume of(Size3 size, const std::vector<float>& voxels) {
  Volume v(size);
  v.data = voxels;
  return v;
}

double psnr(double data_range, double mse) {
  return 10 * std::log10(data_range * data_range / mse);
}

std::string printed(const char* format, double value) {
  char text[40];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

}  // namespace

TEST_CASE("--labels: Dice and Jaccard of each label and their mean, in table, JSON and CSV") {
  const TemporaryFolder folder;
  const Size3 size{1, 2, 4};
  write_scan(folder / "head.nii", ramp(size));
  write_scan(folder / "a.nii", ramp(size, 1));
  write_scan(folder / "b.nii", ramp(size, 2));
  write_scan(folder / "truth.nii", of(size, {0, 1, 1, 1, 2, 2, 0, 5}));
  write_scan(folder / "seg_a.nii", of(size, {1, 1, 1, 0, 2, 0, 0, 0}));
  write_scan(folder / "seg_b.nii", of(size, {0, 1, 1, 1, 7, 2, 0, 5}));
  const Outcome table = done(folder, {"evaluate", "-r", "head.nii", "a.nii", "b.nii", "--labels", "truth.nii",
                                      "seg_a.nii", "seg_b.nii", "--json", "e.json", "--csv", "e.csv"});
  INFO(table.out);
  CHECK(holds(table.out, "labels of seg_a.nii\n"));
  CHECK(holds(table.out, "labels of seg_b.nii\n"));
  CHECK(std::regex_search(table.out, std::regex("\n +1 +0\\.6667 +0\\.5000 +3 +3\n")));
  CHECK(std::regex_search(table.out, std::regex("\na\\.nii .* 0\\.4444 +0\\.3333\n")));  // the means

  const nlohmann::json tests = read_json(folder / "e.json").at("tests");
  const nlohmann::json labels = tests.at(0).at("labels");
  CHECK(keys_of(labels) == std::set<std::string>{"reference", "test", "mean_dice", "mean_jaccard", "each"});
  CHECK(labels.at("reference") == "truth.nii");
  CHECK(labels.at("test") == "seg_a.nii");
  // Of 1: two voxels in common, three in each. Of 2: one in common, two and one. 5: lost.
  const nlohmann::json& each = labels.at("each");
  REQUIRE(each.size() == 3);
  CHECK(each.at(0).at("label") == 1);
  CHECK(each.at(0).at("dice").get<double>() == Approx(4.0 / 6));
  CHECK(each.at(0).at("jaccard").get<double>() == Approx(2.0 / 4));
  CHECK(each.at(1).at("label") == 2);
  CHECK(each.at(1).at("dice").get<double>() == Approx(2.0 / 3));
  CHECK(each.at(1).at("jaccard").get<double>() == Approx(1.0 / 2));
  CHECK(each.at(1).at("voxels_reference") == 2);
  CHECK(each.at(1).at("voxels_test") == 1);
  CHECK(each.at(2).at("label") == 5);
  CHECK(each.at(2).at("dice") == 0);
  CHECK(labels.at("mean_dice").get<double>() == Approx((4.0 / 6 + 2.0 / 3 + 0) / 3));
  CHECK(labels.at("mean_jaccard").get<double>() == Approx((0.5 + 0.5 + 0) / 3));
  const nlohmann::json& invented = tests.at(1).at("labels").at("each").at(3);  // in no voxel of the reference
  CHECK(invented ==
        nlohmann::json{{"label", 7}, {"dice", 0.0}, {"jaccard", 0.0}, {"voxels_reference", 0}, {"voxels_test", 1}});

  const Rows rows = parse_csv(read_text(folder / "e.csv"));
  REQUIRE(rows.size() == 3);
  const Words header = rows[0];
  CHECK(Words(header.begin() + 7, header.end()) ==
        Words{"dice_1", "jaccard_1", "dice_2", "jaccard_2", "dice_5", "jaccard_5", "dice_7", "jaccard_7"});
  CHECK(std::stod(rows[1].at(7)) == Approx(4.0 / 6));
  CHECK(std::stod(rows[1].at(10)) == Approx(1.0 / 2));
  CHECK(rows[1].at(13).empty());  // neither holds label 7
  CHECK(rows[1].size() == header.size());
  CHECK(rows[2].at(13) == "0");
}

TEST_CASE("--labels of several references: those of each reference first") {
  const TemporaryFolder folder;
  const Size3 size{1, 2, 2};
  for (const char* name : {"h1.nii", "h2.nii"}) write_scan(folder / name, ramp(size));
  for (const char* name : {"t1.nii", "t2.nii"}) write_scan(folder / name, ramp(size, 1));
  write_scan(folder / "H1.nii", of(size, {1, 1, 0, 0}));
  write_scan(folder / "H2.nii", of(size, {0, 0, 1, 1}));
  write_scan(folder / "T1.nii", of(size, {1, 1, 0, 0}));
  write_scan(folder / "T2.nii", of(size, {0, 1, 1, 0}));
  const Words call{"evaluate", "-r", "h1.nii", "-r", "h2.nii", "t1.nii", "t2.nii", "--labels"};
  const auto with = [&](const Words& more) { return joined(call, more); };
  const Outcome table = done(folder, with({"H1.nii", "H2.nii", "T1.nii", "T2.nii", "--json", "e.json"}));
  const nlohmann::json json = read_json(folder / "e.json");
  CHECK(json.at("tests").at(0).at("labels").at("mean_dice") == 1);
  CHECK(json.at("tests").at(1).at("labels").at("mean_dice") == 0.5);
  CHECK(json.at("over_subjects").at("dice").at("mean") == 0.75);
  CHECK(json.at("over_subjects").at("dice").at("sd").get<double>() == Approx(std::sqrt(0.125)));
  INFO(table.out);
  CHECK(holds(table.out, "0.7500 ± 0.3536"));
  refused(folder, with({"H1.nii", "T1.nii", "T2.nii"}), 2, "4 files, not 3");
}

TEST_CASE("--labels: what is no segmentation, or of another grid, is refused") {
  const TemporaryFolder folder;
  const Size3 size{1, 2, 4};
  write_scan(folder / "head.nii", ramp(size));
  write_scan(folder / "seg.nii", of(size, {0, 1, 1, 1, 2, 2, 0, 5}));
  write_scan(folder / "half.nii", of(size, {0, 1, 1, 0.5f, 2, 2, 0, 5}));
  write_scan(folder / "nan.nii", of(size, {0, 1, 1, NAN, 2, 2, 0, 5}));
  write_scan(folder / "none.nii", Volume(size));
  write_scan(folder / "larger.nii", ramp({1, 2, 5}));
  write_scan(folder / "elsewhere.nii", of(size, {0, 1, 1, 1, 2, 2, 0, 5}), 2);
  const auto refused_labels = [&](const char* reference, const char* test, int code, const std::string& hint) {
    refused(folder, {"evaluate", "-r", "head.nii", "head.nii", "--labels", reference, test}, code, hint);
  };
  refused_labels("seg.nii", "half.nii", 3, "seg.nii and half.nii: the test labels hold 0.5, which is no whole number");
  refused_labels("half.nii", "seg.nii", 3, "half.nii and seg.nii: the reference labels hold 0.5");
  refused_labels("seg.nii", "nan.nii", 3, "srengine: nan.nii has 1 voxels that are not finite");
  refused_labels("none.nii", "none.nii", 3, "neither segmentation holds a label");
  refused_labels("seg.nii", "larger.nii", 3, "larger.nii and seg.nii have different grids");
  refused_labels("seg.nii", "elsewhere.nii", 3, "elsewhere.nii and seg.nii lie in different places");
  refused_labels("seg.nii", "missing.nii", 3, "missing.nii");
  refused(folder, {"evaluate", "-r", "head.nii", "head.nii", "--labels", "seg.nii"}, 2, "--labels");
  refused(folder, {"evaluate", "-r", "head.nii", "head.nii", "--labels", "seg.nii", "seg.nii", "seg.nii"}, 2,
          "2 files, not 3");
}

TEST_CASE("--mask: only its voxels count, the data range stays that of the reference") {
  const TemporaryFolder folder;
  const Size3 size{2, 3, 4};
  write_scan(folder / "head.nii", ramp(size));  // 0 .. 23
  write_scan(folder / "test.nii", filled(size, [](int z, int y, int x) {
               return (z * 3 + y) * 4 + x + (x < 2 ? 1 : 3);  // an error of 1 on the left, 3 on the right
             }));
  write_scan(folder / "left.nii", filled(size, [](int z, int, int x) { return z == 1 && x < 2 ? 0.25 : 0; }));
  done(folder, {"evaluate", "-r", "head.nii", "test.nii", "--json", "all.json"});
  CHECK(read_json(folder / "all.json").at("tests").at(0).at("psnr").get<double>() == Approx(psnr(23, 5)));

  const Outcome table =
      done(folder, {"evaluate", "-r", "head.nii", "test.nii", "--mask", "left.nii", "--json", "left.json"});
  INFO(table.out);
  CHECK(holds(table.out, "1 slices across k (1 outside the mask)"));
  const nlohmann::json test = read_json(folder / "left.json").at("tests").at(0);
  CHECK(test.at("mask") == "left.nii");
  CHECK(test.at("psnr").get<double>() == Approx(psnr(23, 1)));
  const double squares = 12 * 12 + 13 * 13 + 16 * 16 + 17 * 17 + 20 * 20 + 21 * 21;
  CHECK(test.at("nrmse").get<double>() == Approx(std::sqrt(6 / squares)));
  CHECK(test.at("volumes").at(0).at("slices_outside_mask") == 1);
  CHECK(test.at("volumes").at(0).at("slices").size() == 1);
  CHECK(test.at("volumes").at(0).at("data_range") == 23);
}

TEST_CASE("--mask: SSIM is the mean over the windows whose centre it holds") {
  const TemporaryFolder folder;
  const Size3 size{1, 13, 14};  // 3 x 4 windows
  const Volume head = filled(size, [](int, int y, int x) { return 50 + 20 * std::sin(x + 0.7 * y); });
  Volume test = head;
  for (int y = 0; y < 13; y++) test.at(0, y, 13) += 90;  // reaches only the windows of the last column
  write_scan(folder / "head.nii", head);
  write_scan(folder / "test.nii", test);
  write_scan(folder / "mask.nii", filled(size, [](int, int, int x) { return x < 8 ? 1 : 0; }));  // centres 5 to 7
  write_scan(folder / "rim.nii", filled(size, [](int, int y, int) { return y < 5 ? 1 : 0; }));   // no centre
  const auto ssim = [&](const Words& more) {
    done(folder, joined({"evaluate", "-r", "head.nii", "test.nii", "--json", "e.json"}, more));
    return read_json(folder / "e.json").at("tests").at(0).at("ssim");
  };
  CHECK(ssim({}).get<double>() < 0.999);
  CHECK(ssim({"--mask", "mask.nii"}).get<double>() == Approx(1).epsilon(1e-12));
  CHECK(ssim({"--mask", "rim.nii"}).is_null());
}

TEST_CASE("--mask: one for all references or one for each; what is none is refused") {
  const TemporaryFolder folder;
  const Size3 size{1, 2, 4};
  write_scan(folder / "a.nii", ramp(size));
  write_scan(folder / "b.nii", ramp(size));
  write_scan(folder / "test.nii", of(size, {1, 2, 5, 6, 5, 6, 9, 10}));  // an error of 1 on the left, 3 on the right
  write_scan(folder / "left.nii", of(size, {1, 1, 0, 0, 1, 1, 0, 0}));
  write_scan(folder / "right.nii", of(size, {0, 0, 1, 1, 0, 0, 1, 1}));
  write_scan(folder / "empty.nii", Volume(size));
  write_scan(folder / "nan.nii", of(size, {NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN}));
  write_scan(folder / "smaller.nii", ramp({1, 2, 3}));
  write_scan(folder / "elsewhere.nii", ramp(size), 2);
  const Words call{"evaluate", "-r", "a.nii", "-r", "b.nii", "test.nii", "test.nii"};
  const auto with = [&](const Words& more) { return joined(call, more); };
  const auto psnr_with = [&](const Words& masks) {
    done(folder, joined(with(masks), {"--json", "e.json"}));
    const nlohmann::json tests = read_json(folder / "e.json").at("tests");
    return std::pair(tests.at(0).at("psnr").get<double>(), tests.at(1).at("psnr").get<double>());
  };
  const auto [one, same] = psnr_with({"--mask", "left.nii"});
  CHECK(one == Approx(psnr(7, 1)));
  CHECK(same == Approx(psnr(7, 1)));
  const auto [left, right] = psnr_with({"--mask", "left.nii", "--mask", "right.nii"});
  CHECK(left == Approx(psnr(7, 1)));
  CHECK(right == Approx(psnr(7, 9)));
  fs::remove(folder / "e.json");

  refused(folder, with({"--mask", "left.nii", "--mask", "left.nii", "--mask", "left.nii"}), 2, "3 masks for 2");
  refused(folder, with({"--mask", "empty.nii"}), 3, "srengine: empty.nii is 0 everywhere");
  refused(folder, with({"--mask", "nan.nii"}), 3, "nan.nii has 8 voxels that are not finite");
  refused(folder, with({"--mask", "smaller.nii"}), 3, "smaller.nii and a.nii have different grids");
  refused(folder, with({"--mask", "elsewhere.nii"}), 3, "elsewhere.nii and a.nii lie in different places");
  refused(folder, with({"--mask", "missing.nii"}), 3, "missing.nii");
}

TEST_CASE("--plane: slices across i, j or k") {
  const TemporaryFolder folder;
  const Size3 size{2, 3, 4};
  write_scan(folder / "head.nii", ramp(size));
  Volume test = ramp(size);
  test.at(1, 2, 3) += 2;  // one voxel of slice 3 of 4, 2 of 3, 1 of 2
  write_scan(folder / "test.nii", test);
  for (const int plane : {0, 1, 2}) {
    CAPTURE(plane);
    const Outcome table =
        done(folder, {"evaluate", "-r", "head.nii", "test.nii", "--plane", std::to_string(plane), "--json", "e.json"});
    const int n_slices = 4 - plane, n_pixels = 24 / n_slices;
    CHECK(holds(table.out, std::to_string(n_slices) + " slices across " + "ijk"[plane]));
    const nlohmann::json json = read_json(folder / "e.json");
    CHECK(json.at("plane") == plane);
    const nlohmann::json& slices = json.at("tests").at(0).at("volumes").at(0).at("slices");
    REQUIRE(static_cast<int>(slices.size()) == n_slices);
    CHECK(slices.back().at("slice") == n_slices - 1);
    CHECK(slices.back().at("psnr").get<double>() == Approx(psnr(23, 4.0 / n_pixels)));
    CHECK(slices.front().at("psnr").is_null());  // equal: infinite
    CHECK(slices.front().at("nrmse") == 0);
  }
}

TEST_CASE("--seams: steps at the borders of patches against those elsewhere") {
  const TemporaryFolder folder;
  // Bright above slice 12. The error rises by 1/4 from voxel to voxel and by 10 times as much more across borders; what
  // happens in the dark must not count.
  const Size3 size{24, 24, 24};
  const auto head = [](int z, int y, int x) { return z < 12 ? (x + y) % 2 : 100 + (x + y + z) % 3; };
  const auto error = [](double step, int z, int y, int x) {
    if (z < 12) return 1000.0 * (x >= 8);
    return 0.25 * (x + y + z) + step * (x / 8 + y / 8 + z / 8);
  };
  write_scan(folder / "head.nii", filled(size, head));
  for (const auto& [name, step] : {std::pair{"smooth.nii", 0.0}, {"stepped.nii", 2.5}})
    write_scan(folder / name,
               filled(size, [&, s = step](int z, int y, int x) { return head(z, y, x) + error(s, z, y, x); }));
  const Outcome table = done(folder, {"evaluate", "-r", "head.nii", "smooth.nii", "stepped.nii", "--seams", "8",
                                      "--json", "e.json", "--csv", "e.csv"});
  INFO(table.out);
  CHECK(std::regex_search(table.out, std::regex("NRMSE +seams\n")));
  CHECK(std::regex_search(table.out, std::regex("\nsmooth\\.nii .* 1\\.000\n")));
  CHECK(std::regex_search(table.out, std::regex("\nstepped\\.nii .* 11\\.000\n")));
  const nlohmann::json tests = read_json(folder / "e.json").at("tests");
  CHECK(tests.at(0).at("seams").at("ratio").get<double>() == Approx(1));
  const nlohmann::json& seams = tests.at(1).at("seams");
  CHECK(keys_of(seams) == std::set<std::string>{"at_borders", "elsewhere", "pairs_at_borders", "ratio"});
  CHECK(seams.at("at_borders").get<double>() == Approx(2.75));
  CHECK(seams.at("elsewhere").get<double>() == Approx(0.25));
  CHECK(seams.at("ratio").get<double>() == Approx(11));
  CHECK(seams.at("pairs_at_borders") == 2 * 12 * 24 + 2 * 12 * 24 + 24 * 24);  // along i, j; of k, only 15 to 16
  const Rows rows = parse_csv(read_text(folder / "e.csv"));
  CHECK(rows.at(0).back() == "seam_ratio");
  CHECK(std::stod(rows.at(2).back()) == Approx(11));
  // Borders elsewhere: the steps fall on both sides.
  done(folder, {"evaluate", "-r", "head.nii", "stepped.nii", "--seams", "5", "--json", "e.json"});
  CHECK(read_json(folder / "e.json").at("tests").at(0).at("seams").at("ratio").get<double>() < 1);

  for (const char* distance : {"0", "1", "-8"})
    refused(folder, {"evaluate", "-r", "head.nii", "smooth.nii", "--seams", distance}, 2, distance);
  refused(folder, {"evaluate", "-r", "head.nii", "smooth.nii", "--seams", "24"}, 3, "smaller than 24 voxels");
  refused(folder, {"evaluate", "-r", "head.nii", "smooth.nii", "--seams", "many"}, 2, "many");
}

TEST_CASE("several references: mean and standard deviation over subjects") {
  const TemporaryFolder folder;
  const Size3 size{1, 3, 4};
  const double errors[] = {1, 2, 4};
  Words call{"evaluate"};
  double mean = 0, squares = 0;
  for (int i = 0; i < 3; i++) {
    const std::string n = std::to_string(i);
    write_scan(folder / ("head" + n + ".nii"), ramp(size));
    write_scan(folder / ("test" + n + ".nii"), ramp(size, errors[i]));
    call.insert(call.end(), {"-r", "head" + n + ".nii"});
    mean += psnr(11, errors[i] * errors[i]) / 3;
  }
  for (const double e : errors) squares += std::pow(psnr(11, e * e) - mean, 2);
  const double sd = std::sqrt(squares / 2);
  call.insert(call.end(), {"test0.nii", "test1.nii", "test2.nii"});
  Words more = call;
  more.insert(more.end(), {"--json", "e.json", "--csv", "e.csv", "--html", "e.html"});
  const Outcome table = done(folder, more);
  INFO(table.out);
  CHECK(holds(table.out, "3 subjects, slices across k\n"));
  const std::string figure = printed("%.3f", mean) + " ± " + printed("%.3f", sd);
  CHECK(holds(table.out, "\nmean ± sd"));
  CHECK(holds(table.out, figure));
  const nlohmann::json json = read_json(folder / "e.json");
  CHECK(json.at("over_subjects").at("psnr").at("mean").get<double>() == Approx(mean));
  CHECK(json.at("over_subjects").at("psnr").at("sd").get<double>() == Approx(sd));
  CHECK(keys_of(json.at("over_subjects")) == std::set<std::string>{"psnr", "ssim", "nrmse"});
  for (size_t i = 0; i < 3; i++) {
    CHECK(json.at("tests").at(i).at("reference") == "head" + std::to_string(i) + ".nii");
    CHECK(json.at("tests").at(i).at("psnr").get<double>() == Approx(psnr(11, errors[i] * errors[i])));
  }
  CHECK(parse_csv(read_text(folder / "e.csv")).size() == 4);  // a line for each test: means are the reader's
  CHECK(holds(read_text(folder / "e.html"), "<tr class=\"mean\"><td>mean ± sd</td><td>3 subjects</td><td>" + figure));

  refused(folder, {"evaluate", "-r", "head0.nii", "-r", "head1.nii", "test0.nii"}, 2, "2 references for 1 tests");
}
