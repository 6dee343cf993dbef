// Where `srengine evaluate` writes: CSV, JSON, HTML and PNG, all of them or none, and what it refuses to begin.
#include <cmath>
#include <regex>
#include <set>
#include <utility>

#include "engine/images/metrics.h"
#include "tests/tools/command_checks.h"

using namespace sr;
using namespace sr::test;
namespace fs = std::filesystem;

namespace {

const std::string four_d = SR_TEST_DATA "/golden/nifti/four_d.nii.gz";  // 4x3x2, five volumes

size_t count(const std::string& text, const std::string& part) {
  size_t n = 0;
  for (size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) n++;
  return n;
}

// A reference and an image with some error, large enough for SSIM and pictures.
void write_pair(const TemporaryFolder& folder, const std::string& reference, const std::string& test) {
  const Size3 size{12, 16, 14};
  const auto head = [](int z, int y, int x) { return 100 + 60 * std::sin(0.5 * x + 0.3 * y) * std::cos(0.4 * z); };
  write_scan(folder / reference, filled(size, head));
  write_scan(folder / test,
             filled(size, [&](int z, int y, int x) { return head(z, y, x) + 5 * std::sin(2.0 * x + y + z); }));
}

}  // namespace

TEST_CASE("--csv: a line for each test and volume, names as they are") {
  const TemporaryFolder folder;
  done(folder, {"degrade", four_d, "-o", "low, \"2x\".nii", "--factor", "2x1x1"});
  fs::copy(four_d, folder / "head.nii.gz");
  done(folder, {"evaluate", "-r", "head.nii.gz", "low, \"2x\".nii", "head.nii.gz", "--csv", "e.csv", "--plane", "2"});
  const Rows rows = parse_csv(read_text(folder / "e.csv"));
  REQUIRE(rows.size() == 1 + 2 * 5);
  CHECK(rows[0] == Words{"reference", "test", "volume", "slices", "psnr_db", "ssim", "nrmse"});
  ScanReader head(folder / "head.nii.gz"), low(folder / "low, \"2x\".nii");
  for (size_t v = 0; v < 5; v++) {
    const Words& row = rows[1 + v];
    REQUIRE(row.size() == 7);
    const int64_t t = static_cast<int64_t>(v);
    const Metrics m = compare(head.read(t), low.read(t), 2);
    CHECK(row[0] == "head.nii.gz");
    CHECK(row[1] == "low, \"2x\".nii");
    CHECK(row[2] == std::to_string(v));
    CHECK(row[3] == std::to_string(m.slices.size()));
    CHECK(std::stod(row[4]) == Approx(m.psnr).epsilon(1e-12));
    CHECK(row[5] == "nan");  // 4x3 pixels hold no window
    CHECK(std::stod(row[6]) == Approx(m.nrmse).epsilon(1e-12));
    CHECK(rows[6 + v][1] == "head.nii.gz");
    CHECK(rows[6 + v][4] == "inf");
  }
}

TEST_CASE("--json: every figure, slice by slice; what is no number is null") {
  const TemporaryFolder folder;
  write_pair(folder, "head.nii", "test.nii");
  Volume flat = read_scan(folder / "head.nii");
  for (int y = 0; y < 16; y++)
    for (int x = 0; x < 14; x++) flat.at(3, y, x) = 7;
  write_scan(folder / "head.nii", flat);
  done(folder, {"evaluate", "-r", "head.nii", "test.nii", "head.nii", "--json", "e.json"});
  const nlohmann::json json = read_json(folder / "e.json");
  CHECK(keys_of(json) == std::set<std::string>{"program", "version", "reference", "plane", "tests"});
  CHECK(json.at("program") == "srengine");
  CHECK(json.at("version") == SRENGINE_VERSION);
  CHECK(json.at("reference") == "head.nii");
  const nlohmann::json& test = json.at("tests").at(0);
  CHECK(keys_of(test) == std::set<std::string>{"file", "reference", "psnr", "ssim", "nrmse", "volumes"});
  CHECK(test.at("file") == "test.nii");
  const nlohmann::json& volume = test.at("volumes").at(0);
  CHECK(keys_of(volume) == std::set<std::string>{"psnr", "ssim", "nrmse", "data_range", "constant_slices",
                                                 "slices_outside_mask", "slices"});
  const Metrics m = compare(flat, read_scan(folder / "test.nii"), 2);
  CHECK(volume.at("data_range").get<double>() == Approx(m.data_range));
  CHECK(volume.at("constant_slices") == 1);
  CHECK(volume.at("slices_outside_mask") == 0);
  REQUIRE(volume.at("slices").size() == 11);
  for (size_t i = 0; i < 11; i++) {
    const nlohmann::json& slice = volume.at("slices").at(i);
    CHECK(keys_of(slice) == std::set<std::string>{"slice", "psnr", "ssim", "nrmse"});
    CHECK(slice.at("slice") == (i < 3 ? i : i + 1));
    CHECK(slice.at("psnr").get<double>() == Approx(m.slices[i].psnr).epsilon(1e-12));
    CHECK(slice.at("ssim").get<double>() == Approx(m.slices[i].ssim).epsilon(1e-12));
    CHECK(slice.at("nrmse").get<double>() == Approx(m.slices[i].nrmse).epsilon(1e-12));
  }
  const nlohmann::json& same = json.at("tests").at(1);
  CHECK(same.at("psnr").is_null());
  CHECK(same.at("ssim").get<double>() == Approx(1));
  CHECK(same.at("nrmse") == 0);
}

TEST_CASE("--html: one whole file that refers to nothing outside it") {
  const TemporaryFolder folder;
  write_pair(folder, "head.nii", "a<b>&c.nii");
  write_scan(folder / "seg.nii", filled({12, 16, 14}, [](int z, int, int x) { return x < 7 ? z % 3 : 0; }));
  const std::vector<std::string> before = files_in(folder.path());
  done(folder, {"evaluate", "-r", "head.nii", "a<b>&c.nii", "head.nii", "--labels", "seg.nii", "seg.nii", "seg.nii",
                "--html", "report.html"});
  std::vector<std::string> expected = before;
  expected.push_back("report.html");
  std::sort(expected.begin(), expected.end());
  CHECK(files_in(folder.path()) == expected);

  std::string html = read_text(folder / "report.html");
  CHECK(html.find("<!DOCTYPE html>") == 0);
  CHECK(html.ends_with("</body></html>\n"));
  CHECK(count(html, "<img ") == 24);  // two tests, four rows, three columns
  const Metrics m = compare(read_scan(folder / "head.nii"), read_scan(folder / "a<b>&c.nii"), 2);
  char figures[80];
  std::snprintf(figures, sizeof figures, "<td>a&lt;b&gt;&amp;c.nii</td><td>head.nii</td><td>%.3f</td><td>%.5f</td>",
                m.psnr, m.ssim);
  CHECK(holds(html, figures));
  CHECK(holds(html, "<td>1.0000</td><td>1.0000</td>"));  // the labels

  // Without the pictures, whose base64 may hold anything.
  const std::string picture = "data:image/png;base64,";
  for (size_t at = 0; (at = html.find(picture, at)) != std::string::npos; at += picture.size())
    html.erase(at + picture.size(), html.find('"', at) - at - picture.size());
  const std::regex attribute("\\b(src|href|srcset|action|data|poster)\\s*=\\s*[\"']?([^\"' >]*)", std::regex::icase);
  size_t n_references = 0;
  for (std::sregex_iterator at(html.begin(), html.end(), attribute), end; at != end; ++at, ++n_references) {
    const std::string to = (*at)[2];
    CHECK((to == picture || to == "data:,"));
  }
  CHECK(n_references == 24 + 1);  // and the icon
  for (const char* loads : {"://", "url(", "@import", "<script", "<iframe", "<object", "<embed"})
    CHECK_FALSE(holds(html, loads));
}

TEST_CASE("--png: with several references, the tests of the first") {
  const TemporaryFolder folder;
  write_pair(folder, "a.nii", "t1.nii");
  write_scan(folder / "b.nii", filled({12, 16, 14}, [](int z, int y, int x) { return x + y * y + z; }));
  write_scan(folder / "t2.nii", filled({12, 16, 14}, [](int z, int y, int x) { return x + y * y + 2 * z; }));
  write_scan(folder / "t3.nii", filled({12, 16, 14}, [](int z, int y, int x) { return 9 * (x + y) + z; }));
  done(folder,
       {"evaluate", "-r", "a.nii", "-r", "b.nii", "-r", "a.nii", "t1.nii", "t2.nii", "t3.nii", "--png", "all.png"});
  done(folder, {"evaluate", "-r", "a.nii", "t1.nii", "t3.nii", "--png", "of_a.png"});
  const bool same = read_text(folder / "all.png") == read_text(folder / "of_a.png");
  CHECK(same);
}

TEST_CASE("several results appear together or not at all") {
  const TemporaryFolder folder;
  write_pair(folder, "head.nii", "test.nii");
  const Words call{"evaluate", "-r", "head.nii", "test.nii"};
  const std::pair<std::string, std::string> results[] = {
      {"--csv", "e.csv"}, {"--json", "e.json"}, {"--html", "e.html"}, {"--png", "e.png"}};
  Words whole = call;
  for (const auto& [missing, unused] : results) {
    Words words = call;
    for (const auto& [option, name] : results)
      words.insert(words.end(), {option, option == missing ? "no/such/" + name : name});
    refused(folder, words, 5, "cannot be written: there is no folder no/such");
  }
  for (const auto& [option, name] : results) whole.insert(whole.end(), {option, name});
  done(folder, whole);
  CHECK(files_in(folder.path()) == Words{"e.csv", "e.html", "e.json", "e.png", "head.nii", "test.nii"});
  fs::create_directory(folder / "folder");
  refused(folder, {"evaluate", "-r", "head.nii", "test.nii", "--csv", "folder"}, 5, "folder cannot be written");
}

TEST_CASE("a result never lands on a file of the call, a scan or a degrade sidecar") {
  const TemporaryFolder folder;
  write_pair(folder, "head.nii", "test.nii");
  write_scan(folder / "mask.nii", ramp({12, 16, 14}));
  done(folder, {"degrade", "head.nii", "-o", "low.nii"});
  const std::string sidecar = read_text(folder / "low.json"), head = read_text(folder / "head.nii");
  for (const char* option : {"--csv", "--json", "--html", "--png"}) {
    for (const char* taken : {"head.nii", "./low.nii", "mask.nii", "low.json"})
      refused(folder, {"evaluate", "-r", "head.nii", "low.nii", "--mask", "mask.nii", option, taken}, 2,
              "would be overwritten by a result of this call");
    refused(folder, {"evaluate", "-r", "head.nii", "low.nii", option, "test.nii"}, 2,
            std::string(option) + " test.nii is the name of a scan");
  }
  refused(folder, {"evaluate", "-r", "head.nii", "low.nii", "--csv", "e.txt", "--json", "./e.txt"}, 2,
          "cannot take two results");
  CHECK(read_text(folder / "low.json") == sidecar);
  CHECK(read_text(folder / "head.nii") == head);
  // Figures of an earlier call are no sidecar: they are replaced.
  for (int times = 0; times < 2; times++)
    done(folder, {"evaluate", "-r", "head.nii", "test.nii", "--json", "test.json"});
}

TEST_CASE("what cannot be evaluated is refused in one sentence") {
  const TemporaryFolder folder;
  const Size3 size{2, 3, 4};
  write_scan(folder / "head.nii", ramp(size));
  write_scan(folder / "test.nii", ramp(size, 1));
  write_scan(folder / "nan.nii", filled(size, [](int, int, int) { return NAN; }));
  write_scan(folder / "steps.nii", filled(size, [](int z, int, int) { return z; }));
  write_bytes(folder / "garbage.nii", Bytes(400, 'x'));
  fs::create_directory(folder / "folder.nii");
  const auto refused_pair = [&](const std::string& reference, const std::string& test, int code, const char* hint) {
    refused(folder, {"evaluate", "-r", reference, test, "--json", "e.json"}, code, hint);
  };
  refused_pair("nan.nii", "test.nii", 3, "srengine: nan.nii has 24 voxels that are not finite");
  refused_pair("head.nii", "nan.nii", 3, "srengine: nan.nii has 24 voxels that are not finite");
  refused_pair("steps.nii", "test.nii", 3, "steps.nii: every slice of the reference across axis 2 is constant");
  refused_pair("missing.nii", "test.nii", 3, "missing.nii");
  refused_pair("garbage.nii", "test.nii", 3, "garbage.nii");
  refused_pair("folder.nii", "test.nii", 3, "folder.nii");
  refused_pair("head.nii", "garbage.nii", 3, "garbage.nii");
  refused_pair(four_d, "test.nii", 3, "have different grids: 4x3x2x1 and 4x3x2x5 voxels");
  refused_pair("head.nii", four_d, 3, "have different grids: 4x3x2x5 and 4x3x2x1 voxels");
  refused_pair("head.nii", "test.txt", 2, "test.txt");
  refused(folder, {"evaluate", "-r", "head.nii"}, 2, "tests is required");
  refused(folder, {"evaluate", "test.nii"}, 2, "--reference is required");
  // A constant test is only a bad one.
  done(folder, {"evaluate", "-r", "head.nii", "steps.nii", "--plane", "1"});
}
