// `srengine table` as users call it: its figures against degrade, upsample, run and evaluate done by hand, what has no
// quality, what is skipped or refused, and where it is written.
#include <csignal>
#include <regex>

#include "engine/pipeline.h"
#include "engine/report/svg_chart.h"
#include "tests/tools/command_checks.h"
#include "tools/method_table.h"

using namespace sr;
using namespace sr::test;
namespace fs = std::filesystem;

namespace {

const std::string golden = SR_TEST_DATA "/golden/network/";

void write_head(const fs::path& path, Size3 size) {
  write_scan(path, filled(size, [](int z, int y, int x) {
               return 100 + 60 * std::sin(0.9 * x + 0.3 * y) * std::cos(0.4 * z - 0.8 * y) + 7 * ((x * y + z) % 5);
             }));
}

// Two heads, one with odd sizes.
void write_heads(const TemporaryFolder& folder) {
  fs::create_directory(folder / "scans");
  write_head(folder / "scans/a.nii", {14, 20, 24});
  write_head(folder / "scans/b.nii.gz", {13, 21, 17});
}

// Settings other than the defaults everywhere: sinc input, so that data consistency is at work.
void write_sinc_weights(const fs::path& path) {
  ModelDescription model = parse_model_name("b1u2,k=4,residual");
  model.input = Interpolation::sinc;
  model.batch_norm = BatchNorm::running;
  Weights weights = random_weights(model, 3);
  for (float& w : weights.tensors.at("combine.conv.weight").data) w *= 0.05f;  // a small change, as a trained one's
  weights.normalization = parse_normalization("foreground");
  weights.provenance = {{"steps", 700}, {"batch", 4}, {"patch", 24}};
  save_weights(path, weights);
}

// The row of a method.
nlohmann::json method(const nlohmann::json& table, const std::string& name) {
  for (const nlohmann::json& row : table.at("methods"))
    if (row.at("method") == name) return row;
  FAIL("no row " << name);
  return {};
}

nlohmann::json evaluated(const TemporaryFolder& folder, const std::string& reference, const std::string& test) {
  done(folder, {"evaluate", "-r", reference, test, "--plane", "2", "--json", "by_hand.json"});
  return read_json(folder / "by_hand.json").at("tests").at(0);
}

// The row's figures of scan `which` are those of the image made by hand.
void check_by_hand(const TemporaryFolder& folder, const nlohmann::json& row, size_t which, const std::string& scan,
                   const std::string& image) {
  INFO(row.at("method") << " on " << scan);
  const nlohmann::json figures = row.at("scans").at(which), expected = evaluated(folder, scan, image);
  for (const char* figure : {"psnr", "ssim", "nrmse"}) {
    INFO(figure);
    CHECK(figures.at(figure).get<double>() == Approx(expected.at(figure).get<double>()).epsilon(1e-12));
  }
}

TableRow network_row(const std::string& model, double ms) {
  TableRow row;
  row.network = NetworkSize{model, 1, 1};
  row.ms_per_volume = ms;
  return row;
}

}  // namespace

TEST_CASE("table: the figures are those of degrade, upsample, run and evaluate") {
  const TemporaryFolder folder;
  write_heads(folder);
  fs::create_directory(folder / "weights");
  fs::copy(golden + "b1u2-k12.bin", folder / "weights/linear.bin");
  write_sinc_weights(folder / "weights/sinc.bin");
  const Outcome o = done(folder, {"table", "--scans", "scans", "--weights", "weights", "--patch", "16", "--threads",
                                  "1", "--device", "cpu", "--json", "t.json", "--csv", "t.csv"});
  INFO(o.out);
  CHECK(holds(o.out, "2 scans, 17x21x13 24x20x14, k-space cut 2x2x1, slices across k\n"));
  const nlohmann::json table = read_json(folder / "t.json");
  REQUIRE(table.at("methods").size() == 6);
  const std::string scans[] = {"scans/a.nii", "scans/b.nii.gz"};
  const int64_t voxels[] = {24 * 20 * 14, 17 * 21 * 13}, native[] = {12 * 10 * 14, 9 * 11 * 13};
  for (size_t s = 0; s < 2; s++) {
    CHECK(table.at("scans").at(s).at("file") == scans[s]);
    done(folder, {"degrade", scans[s], "-o", "native.nii", "--grid", "native"});
    for (const char* how : {"nearest", "linear", "cubic", "sinc"}) {
      done(folder, {"upsample", "native.nii", "--like", scans[s], "--method", how, "-o", "up.nii"});
      check_by_hand(folder, method(table, how), s, scans[s], "up.nii");
    }
    for (const std::string input : {"linear", "sinc"}) {
      const std::string weights = "weights/" + input + ".bin";
      done(folder, {"degrade", scans[s], "-o", "low.nii", "--method", input});
      done(folder, {"run", "-w", weights, "low.nii", "-o", "sr.nii", "--patch", "16", "--threads", "1"});
      check_by_hand(folder, method(table, weights), s, scans[s], "sr.nii");
    }
  }

  CHECK(method(table, "weights/sinc.bin").at("trained") == "700 x 4 x 24^3");
  CHECK_FALSE(method(table, "weights/linear.bin").contains("trained"));
  CHECK(holds(o.out, "  700 x 4 x 24^3  "));
  const Rows csv = parse_csv(read_text(folder / "t.csv"));
  REQUIRE(csv.size() == 7);
  for (size_t r = 1; r < csv.size(); r++) {
    const nlohmann::json row = method(table, csv[r].at(0));
    INFO(row);
    REQUIRE(csv[r].size() == csv[0].size());
    const auto column = [&](const char* name) {
      return csv[r].at(static_cast<size_t>(std::find(csv[0].begin(), csv[0].end(), name) - csv[0].begin()));
    };
    CHECK(column("trained") == row.value("trained", ""));
    CHECK(std::stod(column("ms_per_volume")) == Approx(row.at("ms_per_volume").get<double>()));
    double ms = 0;
    for (const nlohmann::json& scan : row.at("scans")) {
      CHECK(scan.at("ms") > 0);
      ms += scan.at("ms").get<double>() / 2;
    }
    CHECK(row.at("ms_per_volume").get<double>() == Approx(ms));  // the median of two
    for (const std::string figure : {"psnr", "ssim", "nrmse"}) {
      const double a = row.at("scans").at(0).at(figure), b = row.at("scans").at(1).at(figure);
      CHECK(row.at(figure).at("mean").get<double>() == Approx((a + b) / 2));
      CHECK(row.at(figure).at("sd").get<double>() == Approx(std::abs(a - b) / std::sqrt(2)));
      CHECK(std::stod(column((figure + "_mean").c_str())) == Approx((a + b) / 2));
      CHECK(std::stod(column((figure + "_sd").c_str())) == Approx(std::abs(a - b) / std::sqrt(2)));
    }
  }

  // Sizes: the larger scan counts; the input and, where data consistency is at work, the measured part beside the
  // result.
  CHECK(method(table, "cubic").at("memory_bytes") == 4 * (native[0] + voxels[0]));
  for (const auto& [name, n_volumes] : {std::pair{"weights/linear.bin", 2}, {"weights/sinc.bin", 3}}) {
    const Weights weights = load_weights(folder / name);
    RestoreOptions options;
    options.backend.patch = {16, 16, 16};
    options.backend.threads = 1;
    const nlohmann::json row = method(table, name);
    CHECK(row.at("memory_bytes") ==
          4 * (native[0] + n_volumes * voxels[0]) + Restorer(weights, options).backend().buffer_bytes());
    CHECK(row.at("model") == weights.model.name());
    CHECK(row.at("multiply_adds_per_voxel") == multiply_adds_per_voxel(weights.model));
    int64_t parameters = 0;
    for (const auto& [tensor, values] : weights.tensors)
      if (!holds(tensor, "running_")) parameters += element_count(values.shape);
    CHECK(row.at("parameters") == parameters);
  }
}

TEST_CASE("table: another factor, another plane; one scan has no deviation") {
  const TemporaryFolder folder;
  write_head(folder / "head.nii", {24, 20, 14});
  const Outcome o = done(folder, {"table", "--scans", "head.nii", "--factor", "2x1x2", "--json", "t.json"});
  CHECK(holds(o.out, "1 scan, 14x20x24, k-space cut 2x1x2, slices across j\n"));
  CHECK_FALSE(holds(o.out, "±"));
  const nlohmann::json table = read_json(folder / "t.json");
  done(folder, {"degrade", "head.nii", "-o", "low.nii", "--factor", "2x1x2"});
  done(folder, {"evaluate", "-r", "head.nii", "low.nii", "--json", "e.json"});
  const nlohmann::json row = method(table, "linear");
  CHECK(row.at("psnr").at("mean").get<double>() ==
        Approx(read_json(folder / "e.json").at("tests").at(0).at("psnr").get<double>()).epsilon(1e-12));
  CHECK(row.at("psnr").at("sd").is_null());
}

TEST_CASE("table: a 4D scan has the averages over its volumes; SSIM of small slices is null") {
  const TemporaryFolder folder;
  const std::string four_d = SR_TEST_DATA "/golden/nifti/four_d.nii.gz";  // 4x3x2, five volumes
  done(folder, {"table", "--scans", four_d, "--factor", "2x1x1", "--json", "t.json"});
  done(folder, {"degrade", four_d, "-o", "low.nii", "--factor", "2x1x1"});
  const nlohmann::json row = method(read_json(folder / "t.json"), "linear"),
                       expected = evaluated(folder, four_d, "low.nii");
  CHECK(row.at("psnr").at("mean").get<double>() == Approx(expected.at("psnr").get<double>()).epsilon(1e-12));
  CHECK(row.at("ssim").at("mean").is_null());
}

TEST_CASE("table: a network with random weights has a size and a speed, but no quality") {
  const TemporaryFolder folder;
  write_heads(folder);
  const Outcome o = done(folder, {"table", "--scans", "scans", "--model", "b1u2,k=4", "--patch", "16", "--device",
                                  "cpu", "--json", "t.json", "--csv", "t.csv"});
  INFO(o.out);
  CHECK(std::regex_search(o.out,
                          std::regex("\nb1u2,k=4, random weights +b1u2 k4 +2432 +2392 +[0-9.]+ +[0-9.]+ +- +- +-\n")));
  const nlohmann::json row = method(read_json(folder / "t.json"), "b1u2,k=4, random weights");
  CHECK(row.at("ms_per_volume") > 0);
  CHECK(keys_of(row) == std::set<std::string>{"method", "model", "parameters", "multiply_adds_per_voxel", "device",
                                              "ms_per_volume", "memory_bytes", "scans"});
  CHECK(keys_of(row.at("scans").at(0)) == std::set<std::string>{"ms"});
  const Rows csv = parse_csv(read_text(folder / "t.csv"));
  CHECK(csv.back().at(0) == "b1u2,k=4, random weights");
  CHECK(Words(csv.back().begin() + 6, csv.back().end()) == Words(7, ""));  // trained, means and deviations
}

TEST_CASE("table: without scans, times are those of patches and of a shape") {
  const TemporaryFolder folder;
  const Outcome o = done(folder, {"table", "--model", "b1u1,k=4", "--shape", "30x28x14", "--patch", "20", "--patches",
                                  "3", "--threads", "1", "--device", "cpu", "--json", "t.json", "--html", "t.html"});
  INFO(o.out);
  CHECK(holds(o.out, "no scans; times for 30x28x14, k-space cut 2x2x1\n"));
  const nlohmann::json table = read_json(folder / "t.json");
  CHECK(table.at("shape") == nlohmann::json{30, 28, 14});
  CHECK(table.at("scans").empty());
  REQUIRE(table.at("methods").size() == 5);
  for (const nlohmann::json& row : table.at("methods")) {
    CHECK(row.at("ms_per_volume") > 0);
    CHECK_FALSE(row.contains("psnr"));
  }
  CHECK(method(table, "sinc").at("memory_bytes") == 4 * (15 * 14 * 14 + 30 * 28 * 14));
  CHECK_FALSE(holds(read_text(folder / "t.html"), "<svg"));  // nothing to plot time against
}

TEST_CASE("table: what the paper says of speed, as far as the rows can check it") {
  CHECK(speed_claims({network_row("b4u4", 10)}).empty());
  CHECK(speed_claims({network_row("b8u4", 10), network_row("b6u4", 20)}).empty());
  CHECK(speed_claims({network_row("b4u4", 10), network_row("b8u4", 21)}) ==
        Words{"b4u4 is the fastest network: yes (b8u4 takes 2.10 times its time)"});
  CHECK(speed_claims({TableRow{}, network_row("fsrcnn", 8), network_row("b4u4", 10), network_row("srresnet", 78),
                      network_row("b8u4", 20), network_row("srdensenet", 33), network_row("b6u4", 30)}) ==
        Words{"b4u4 is the fastest network: no (fsrcnn takes 0.80 times its time)",
              "b8u4 about 4 times faster than srresnet: 3.90x", "b6u4 about as fast as srdensenet: 1.10x"});
}

TEST_CASE("table: how long weights were trained is said where they say it") {
  CHECK(training_budget({{"steps", 500}, {"batch", 1}, {"patch", 64}, {"seed", 3}}) == "500 x 1 x 64^3");
  for (const nlohmann::json& other :
       {nlohmann::json::object(), nlohmann::json(), nlohmann::json("a note"),
        nlohmann::json{{"steps", 500}, {"batch", 4}}, nlohmann::json{{"steps", 500}, {"batch", "4"}, {"patch", 24}},
        nlohmann::json{{"steps", -1}, {"batch", 4}, {"patch", 24}}}) {
    INFO(other);
    CHECK(training_budget(other) == "");
  }
  CHECK(text_table({}).find("trained") == std::string::npos);
}

TEST_CASE("table: the page has every row, the plot a dot for each with quality, and nothing from outside") {
  const TemporaryFolder folder;
  write_heads(folder);
  write_sinc_weights(folder / "a<b>.bin");
  const Outcome o =
      done(folder, {"table", "--scans", "scans", "--weights", "a<b>.bin", "--model", "b4u4,k=4", "--patch", "16",
                    "--device", "cpu", "--html", "t.html", "--plot", "t.svg", "--json", "t.json"});
  const std::string html = read_text(folder / "t.html");
  CHECK(html.find("<!DOCTYPE html>") == 0);
  CHECK(html.ends_with("</body></html>\n"));
  const nlohmann::json table = read_json(folder / "t.json");
  for (const char* name : {"nearest", "linear", "cubic", "sinc", "a&lt;b&gt;.bin", "b4u4,k=4, random weights"}) {
    CHECK(holds(html, "<tr><td>" + std::string(name) + "</td>"));
  }
  char psnr[40];
  std::snprintf(psnr, sizeof psnr, "<td>%.3f ± %.3f</td>", method(table, "sinc").at("psnr").at("mean").get<double>(),
                method(table, "sinc").at("psnr").at("sd").get<double>());
  CHECK(holds(html, psnr));
  const std::regex circle("<circle [^>]* r=\"([0-9.]+)\"");
  std::vector<std::string> radii;
  for (std::sregex_iterator at(html.begin(), html.end(), circle), end; at != end; ++at) radii.push_back((*at)[1]);
  CHECK(radii == Words{"3.0", "3.0", "3.0", "3.0", "12.0"});
  for (const char* label : {">nearest</text>", ">linear</text>", ">cubic</text>", ">sinc</text>", ">a&lt;b&gt;</text>"})
    CHECK(holds(html, label));
  for (const char* loads : {"://", "url(", "@import", "<script", "<iframe", "<object", "<embed"})
    CHECK_FALSE(holds(html, loads));

  const std::string plot = read_text(folder / "t.svg"), drawing = plot.substr(plot.find("</style>") + 8);
  CHECK(plot.find("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" ") == 0);
  CHECK(holds(plot, "<style>"));
  CHECK(holds(plot, chart_style));
  CHECK(drawing.ends_with("</svg>\n"));
  CHECK(holds(html, drawing.substr(0, drawing.find("<rect"))));  // the same plot, up to the legend
  for (const char* note : {">2 scans, ", "k-space cut 2x2x1", ">networks on CPU", ">The area of a dot is "})
    CHECK(holds(drawing, note));
}

TEST_CASE("table: what cannot be used is skipped and listed, with 1; where nothing is left it is an error") {
  const TemporaryFolder folder;
  write_heads(folder);
  write_bytes(folder / "scans/c.nii", Bytes(400, 'x'));
  write_scan(folder / "scans/nan.nii", filled({4, 12, 12}, [](int, int, int) { return NAN; }));
  write_scan(folder / "scans/flat.nii", Volume({4, 12, 12}));
  write_scan(folder / "scans/thin.nii", ramp({12, 12, 1}));
  fs::create_directory(folder / "weights");
  write_sinc_weights(folder / "weights/good.bin");
  write_bytes(folder / "weights/bad.bin", Bytes(400, 'x'));
  write_bytes(folder / "weights/readme.txt", Bytes(400, 'x'));
  const Outcome o = run_program(folder, {"table", "--scans", "scans", "--weights", "weights", "--patch", "16",
                                         "--device", "cpu", "--json", "t.json", "--html", "t.html"});
  INFO(o.out << o.err);
  CHECK(o.code == 1);
  CHECK(holds(o.out, "2 scans, "));
  CHECK(holds(o.out, "\nweights/good.bin "));
  CHECK_FALSE(holds(o.out, "bad.bin"));
  const std::string html = read_text(folder / "t.html");
  const nlohmann::json skipped = read_json(folder / "t.json").at("skipped");
  CHECK(holds(o.err, "srengine: 5 files were skipped:\n"));
  REQUIRE(skipped.size() == 5);
  for (const char* name : {"weights/bad.bin", "scans/c.nii", "scans/flat.nii", "scans/nan.nii", "scans/thin.nii"}) {
    INFO(name);
    CHECK(holds(o.err, std::string("\n  ") + name));
    CHECK(holds(html, std::string("<p>") + name));
    CHECK(std::count_if(skipped.begin(), skipped.end(), [&](const auto& s) { return s.at("file") == name; }) == 1);
  }

  const auto refused_table = [&](const Words& words, int code, const std::string& hint) {
    refused(folder, joined({"table", "--csv", "never.csv"}, words), code, hint);
  };
  fs::create_directory(folder / "empty");
  refused_table({}, 2, "table takes scans, weights files or models");
  refused_table({"--model", "b1u1,k=4", "--plot", "never.svg"}, 2, "--plot draws quality against time and needs scans");
  refused_table({"--model", "b4u4x"}, 2, "'4x' is not a number");
  refused_table({"--scans", "scans/a.nii", "--factor", "2x2"}, 2, "no set of factors");
  refused_table({"--scans", "empty"}, 3, "empty: the folder holds no scan");
  refused_table({"--weights", "empty"}, 4, "empty: the folder holds no weights file");
  refused_table({"--scans", "scans/c.nii"}, 3, "scans/c.nii");
  refused_table({"--scans", "missing.nii", "--model", "b1u1,k=4"}, 3, "missing.nii does not exist");
  refused_table({"--weights", "weights/bad.bin", "--scans", "scans/a.nii"}, 4, "weights/bad.bin");
  refused_table({"--weights", "missing.bin"}, 4, "missing.bin");
  const Outcome none = run_program(folder, {"table", "--scans", "scans/c.nii", "--scans", "scans/nan.nii"});
  CHECK(none.code == 3);
  CHECK(none.out.empty());
  CHECK(holds(none.err, "srengine: no scan can be used:\n  scans/c.nii"));
}

TEST_CASE("table: results appear together or not at all, and on no file of the call") {
  const TemporaryFolder folder;
  write_head(folder / "head.nii", {12, 12, 12});
  write_sinc_weights(folder / "w.bin");
  const Words call{"table", "--scans", "head.nii", "-w", "w.bin", "--patch", "16", "--device", "cpu"};
  const auto with = [&](const Words& more) { return joined(call, more); };
  for (const char* option : {"--csv", "--json", "--html", "--plot"}) {
    for (const char* taken : {"head.nii", "./w.bin"})
      refused(folder, with({option, taken}), 2, "would be overwritten by a result of this call");
    refused(folder, with({option, "other.nii"}), 2, std::string(option) + " other.nii is the name of a scan");
  }
  refused(folder, with({"--csv", "t.csv", "--json", "no/such/t.json"}), 5, "there is no folder no/such");
  done(folder, with({"--csv", "t.csv", "--json", "t.json", "--html", "t.html", "--plot", "t.svg"}));
  CHECK(files_in(folder.path()) == Words{"head.nii", "t.csv", "t.html", "t.json", "t.svg", "w.bin"});
}

TEST_CASE("table: interrupted, it leaves nothing behind and says so with 130") {
  const TemporaryFolder folder, log;
  write_head(folder / "head.nii", {24, 24, 24});
  Words words{"table", "--scans", "head.nii", "--device", "cpu", "--patch", "16", "--json", "t.json"};
  for (int i = 0; i < 2000; i++) words.insert(words.end(), {"--weights", golden + "b1u1-k4.bin"});
  Program program(folder.path(), words, {.stderr_to = (log / "err").string()});
  REQUIRE(program.runs_until([&] { return fs::exists(log / "err") && fs::file_size(log / "err") > 0; }));
  program.signal(SIGTERM);
  const Outcome o = program.wait();
  CHECK(o.code == 130);
  CHECK(o.out.empty());
  CHECK(holds(read_text(log / "err"), "srengine: interrupted\n"));
  CHECK(files_in(folder.path()) == Words{"head.nii"});
}
