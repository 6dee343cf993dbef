// `srengine run` as users call it: where results go, what is said, what is left behind.
#include <cmath>
#include <csignal>
#include <cstdlib>

#include "engine/pipeline.h"
#include "tests/support/terminal.h"
#include "tests/tools/command_checks.h"

using namespace sr;
using namespace sr::test;
namespace fs = std::filesystem;

namespace {

const fs::path golden = fs::path(SR_TEST_DATA) / "golden";
const std::string weights = (golden / "network" / "b1u1-k4.bin").string();

void make_scan(const fs::path& path, Size3 size = {9, 11, 13}) {
  const auto wave = [](int z, int y, int x) { return 100 + 30 * std::sin(0.5 * x + 0.3 * y) * std::cos(0.4 * z); };
  write_scan(path, filled(size, wave), 1.5);
}

// run with the small network in small patches, and `more`.
Words run(const Words& more) {
  return joined({"run", "--weights", weights, "--patch", "24"}, more);
}

}  // namespace

TEST_CASE("run writes scan_sr.nii.gz beside the scan, and its name alone to stdout") {
  const TemporaryFolder folder;
  make_scan(folder / "scan.nii");
  const Outcome o = done(folder, run({"scan.nii"}));
  CHECK(o.out == "scan_sr.nii.gz\n");
  CHECK(files_in(folder.path()) == Words{"scan.nii", "scan_sr.nii.gz"});
  // In a log: plain lines.
  CHECK(o.err.find("b1u1 k4 on CPU") == 0);
  CHECK(o.err.find("scan.nii: 100 %") != std::string::npos);
  CHECK(o.err.find('\r') == std::string::npos);
  CHECK(o.err.find('\x1b') == std::string::npos);

  // It is what the library computes.
  RestoreOptions options;
  options.backend.patch = {24, 24, 24};
  const Volume expected = Restorer(load_weights(weights), options).restore(read_scan(folder / "scan.nii"), {});
  CHECK(read_scan(folder / "scan_sr.nii.gz").data == expected.data);
}

TEST_CASE("-o names a file, a folder, or a folder to be made") {
  const TemporaryFolder folder;
  make_scan(folder / "a.nii");
  make_scan(folder / "b.nii.gz");
  fs::create_directory(folder / "there");
  const auto printed = [&](const Words& more) { return done(folder, run(more)).out; };
  CHECK(printed({"a.nii", "-o", "result.nii"}) == "result.nii\n");
  CHECK(printed({"a.nii", "-o", "there"}) == "there/a_sr.nii.gz\n");
  CHECK(printed({"a.nii", "-o", "new/deep/"}) == "new/deep/a_sr.nii.gz\n");
  CHECK(printed({"a.nii", "b.nii.gz", "-o", "several"}) == "several/a_sr.nii.gz\nseveral/b_sr.nii.gz\n");
  for (const char* name : {"result.nii", "there/a_sr.nii.gz", "new/deep/a_sr.nii.gz", "several/b_sr.nii.gz"})
    CHECK(ScanReader(folder / name).info().size == Size3{9, 11, 13});
}

TEST_CASE("one bad scan does not stop the others") {
  const TemporaryFolder folder;
  make_scan(folder / "a.nii");
  write_bytes(folder / "bad.nii", Bytes(400, 'x'));
  make_scan(folder / "c.nii");
  const Outcome o = run_program(folder, run({"a.nii", "bad.nii", "missing.nii", "c.nii", "--json", "run.json"}));
  INFO(o.err);
  CHECK(o.code == 1);
  CHECK(o.out == "a_sr.nii.gz\nc_sr.nii.gz\n");
  const size_t list = o.err.find("srengine: 2 of 4 scans failed:\n  bad.nii");
  REQUIRE(list != std::string::npos);
  CHECK(o.err.find("\n  missing.nii does not exist\n", list) != std::string::npos);
  CHECK(std::count(o.err.begin() + static_cast<ptrdiff_t>(list), o.err.end(), '\n') == 3);  // it is the end
  CHECK(files_in(folder.path()) == Words{"a.nii", "a_sr.nii.gz", "bad.nii", "c.nii", "c_sr.nii.gz", "run.json"});

  const nlohmann::json scans = read_json(folder / "run.json").at("scans");
  REQUIRE(scans.size() == 4);
  CHECK(scans[0].at("output") == "a_sr.nii.gz");
  CHECK(scans[1].at("error").get<std::string>().find("bad.nii") == 0);
  CHECK(scans[3].at("output") == "c_sr.nii.gz");
}

TEST_CASE("no result lands on a scan or on another result") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "x");
  make_scan(folder / "scan.nii");
  make_scan(folder / "scan_sr.nii.gz");
  make_scan(folder / "x/scan.nii");
  make_scan(folder / "pair.hdr");
  fs::create_symlink("scan.nii", folder / "link.nii");
  const Bytes before = read_bytes(folder / "pair.img");
  const auto refused_run = [&](const Words& more, const std::string& hint) { refused(folder, run(more), 2, hint); };
  refused_run({"scan.nii", "x/scan.nii", "-o", "out"},
              "scan.nii and x/scan.nii would both be written to out/scan_sr.nii.gz");
  refused_run({"scan.nii", "scan.nii"}, "would both be written to");
  refused_run({"scan.nii", "-o", "scan.nii"}, "scan.nii would be overwritten");
  refused_run({"scan.nii", "-o", "x/../scan.nii"}, "would be overwritten");
  refused_run({"link.nii", "-o", "scan.nii"}, "would be overwritten");
  refused_run({"pair.hdr", "-o", "pair.img"}, "pair.hdr would be overwritten");
  refused_run({"scan.nii", "scan_sr.nii.gz"}, "scan_sr.nii.gz would be overwritten by the result of scan.nii");
  CHECK(read_bytes(folder / "pair.img") == before);
}

TEST_CASE("what cannot be read, used or written has its exit code") {
  const TemporaryFolder folder;
  make_scan(folder / "scan.nii");

  Bytes huge = read_bytes(folder / "scan.nii");  // 3000 x 1500 x 1000 float32: 18 GB, in 400 bytes
  huge.resize(400);
  for (const auto& [at, n] : {std::pair{42, 3000}, {44, 1500}, {46, 1000}}) {
    huge[at] = static_cast<char>(n & 255);
    huge[static_cast<size_t>(at) + 1] = static_cast<char>(n >> 8);
  }
  write_bytes(folder / "huge.nii", huge);
  Bytes damaged = read_bytes(weights);
  damaged.back() ^= 1;
  write_bytes(folder / "damaged.bin", damaged);
  damaged.resize(damaged.size() / 2);
  write_bytes(folder / "half.bin", damaged);

  refused(folder, run({"scan.nii", "--nonsense"}), 2, "--nonsense");
  refused(folder, run({}), 2, "scans");
  refused(folder, {"run", "scan.nii"}, 2, "--weights");
  refused(folder, run({"scan.nii", "-o", "result.txt"}), 2, "result.txt is not a scan's name");
  refused(folder, run({"scan.nii", "--threads", "0"}), 2, "--threads");
  refused(folder, {"run", "-w", weights, "scan.nii", "--patch", "24x24"}, 2, "'24x24' is no patch size");
  refused(folder, run({"scan.nii", "--margin", "12"}), 2, "margin of 12");
  refused(folder, run({"scan.nii", "--conv", "fft"}), 2, "'fft' is none of winograd4|winograd2|direct");
  refused(folder, run({"scan.nii", "--target", "MMX"}), 2, "--target MMX");
  refused(folder, run({"scan.nii", "--max-memory", "much"}), 2, "'much' is no amount of memory");
  refused(folder, run({"scan.nii", "--upsample", "0.5x1x1"}), 2, "'0.5x1x1' is no set of factors");
  refused(folder, run({"missing.nii"}), 3, "missing.nii");
  refused(folder, run({"huge.nii"}), 3, "huge.nii");
  refused(folder, run({weights, "-o", "result.nii"}), 3, "b1u1-k4.bin");
  refused(folder, {"run", "-w", "missing.bin", "scan.nii"}, 4, "missing.bin");
  refused(folder, {"run", "-w", "damaged.bin", "scan.nii"}, 4, "damaged.bin");
  refused(folder, {"run", "-w", "half.bin", "scan.nii"}, 4, "half.bin");
  refused(folder, {"run", "-w", "scan.nii", "scan.nii"}, 4, "scan.nii");
  refused(folder, run({"scan.nii", "-o", "nowhere/result.nii"}), 5, "nowhere/result.nii cannot be written");
  refused(folder, run({"scan.nii", "-o", "scan.nii/"}), 5, "scan.nii/: the folder for the results cannot be made");
  refused(folder, run({"scan.nii", "-o", "/proc/result.nii"}), 5, "/proc/result.nii cannot be written");
  refused(folder, run({"scan.nii", "--max-memory", "100K"}), 6, "by --max-memory");
}

TEST_CASE("a folder without permission to write is found before anything is computed") {
  if (::geteuid() == 0) {
    WARN("root may write everywhere: not tested");
    return;
  }
  const TemporaryFolder folder;
  make_scan(folder / "scan.nii");
  fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
  refused(folder, run({"scan.nii"}), 5, "scan_sr.nii.gz cannot be written");
}

TEST_CASE("an interrupted run leaves nothing behind and says so with 130") {
  const TemporaryFolder folder;
  make_scan(folder / "scan.nii", {110, 110, 110});
  const Words files = files_in(folder.path());
  for (const int signal : {SIGINT, SIGTERM}) {
    // 216 patches by plain loops: seconds, if nobody interrupts.
    Program program(folder.path(), run({"scan.nii", "--backend", "ref", "--threads", "1"}), {});
    // The result is begun, under its temporary name, before the first patch.
    REQUIRE(program.runs_until([&] { return folder.n_files() > files.size(); }));
    program.signal(signal);
    const Outcome o = program.wait();
    check_refused(o, 130, "interrupted");
    CHECK(o.err.find("100 %") == std::string::npos);
    CHECK(files_in(folder.path()) == files);
  }
}

TEST_CASE("--json says what was done") {
  const TemporaryFolder folder;
  make_scan(folder / "scan.nii");
  done(folder, run({"scan.nii", "-o", "r.nii", "--json", "r.json", "--threads", "2", "--upsample", "2x2x1",
                    "--batch-norm", "scan", "--conv", "direct", "--dtype", "input"}));
  const nlohmann::json json = read_json(folder / "r.json");
  CHECK(json.at("program") == "srengine");
  CHECK(json.at("version") == SRENGINE_VERSION);
  CHECK(json.at("weights").at("sha256") == load_weights(weights).sha256);
  CHECK(json.at("weights").at("model") == "b1u1 k4");
  const nlohmann::json& options = json.at("options");
  CHECK(options.at("patch") == nlohmann::json({24, 24, 24}));
  CHECK(options.at("margin") == 3);
  CHECK(options.at("batch_norm") == "scan");
  CHECK(options.at("conv") == "direct");
  CHECK(options.at("dtype") == "input");
  CHECK(options.at("threads") == 2);
  CHECK(options.at("upsample") == nlohmann::json({2.0, 2.0, 1.0}));
  CHECK(options.at("upsample_method") == "linear");
  const nlohmann::json& scan = json.at("scans").at(0);
  CHECK(scan.at("input") == "scan.nii");
  CHECK(scan.at("output") == "r.nii");
  CHECK(scan.at("input_size") == nlohmann::json({13, 11, 9}));
  CHECK(scan.at("output_size") == nlohmann::json({26, 22, 9}));
  CHECK(scan.at("volumes") == 1);
  CHECK(scan.at("patches_per_volume") == 4);  // 26 x 22 x 9 in strides of 18
  for (const char* stage : {"read", "upsample", "restore", "write"}) CHECK(scan.at("seconds").at(stage) >= 0);
  CHECK(scan.at("seconds").at("restore") > 0);
  CHECK(scan.at("warnings").empty());
  CHECK(ScanReader(folder / "r.nii").info().size == Size3{9, 22, 26});
}

TEST_CASE("warnings of a scan reach stderr and the JSON file") {
  const TemporaryFolder folder;
  Bytes bytes = read_bytes(golden / "nifti" / "nonfinite.nii");
  bytes[72] = 7;  // bitpix, which the reader doubts and the datatype overrules
  write_bytes(folder / "scan.nii", bytes);
  const Outcome o = done(folder, run({"scan.nii", "--json", "r.json"}));
  // Each names the file once.
  CHECK(o.err.find("srengine: warning: scan.nii has bitpix 7") != std::string::npos);
  CHECK(o.err.find("srengine: warning: scan.nii has 3 voxels that are not finite") != std::string::npos);
  const nlohmann::json scan = read_json(folder / "r.json").at("scans").at(0);
  CHECK(scan.at("nonfinite_voxels") > 0);
  CHECK(scan.at("warnings").size() == 2);
}

TEST_CASE("--quiet says nothing on stderr") {
  const TemporaryFolder folder;
  make_scan(folder / "scan.nii");
  const Outcome o = done(folder, run({"--quiet", "scan.nii"}));
  CHECK(o.err.empty());
  CHECK(o.out == "scan_sr.nii.gz\n");
}

TEST_CASE("a terminal gets one line that redraws itself") {
  if (test::without_terminals()) return;
  const TemporaryFolder folder;
  make_scan(folder / "scan.nii");
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  REQUIRE(terminal >= 0);
  REQUIRE(::grantpt(terminal) == 0);
  REQUIRE(::unlockpt(terminal) == 0);
  done(folder, run({"scan.nii"}), {.stderr_to = ::ptsname(terminal)});
  std::string shown;
  char piece[256];
  for (ssize_t n; (n = ::read(terminal, piece, sizeof piece)) > 0;) shown.append(piece, static_cast<size_t>(n));
  ::close(terminal);
  INFO(shown);
  CHECK(shown.find("\rscan.nii [==============================] 100 %") != std::string::npos);
  CHECK(shown.find("patches/s") != std::string::npos);
  CHECK(shown.find("0:00 left") != std::string::npos);
  CHECK(shown.ends_with("\n"));
}

TEST_CASE("a lost stderr costs nothing, a lost stdout is an error") {
  const TemporaryFolder folder;
  make_scan(folder / "scan.nii");
  for (const char* lost : {"", "/dev/full"}) {
    done(folder, run({"scan.nii"}), {.stderr_to = lost});
    CHECK(ScanReader(folder / "scan_sr.nii.gz").info().size == Size3{9, 11, 13});
    // --quiet: how many lines of progress precede the sentence depends on how fast the machine is
    refused(folder, run({"--quiet", "scan.nii"}), 5, "standard output", {.stdout_to = lost});
  }
}

TEST_CASE("a JSON file never lands on a scan, a result or the weights") {
  const TemporaryFolder folder;
  make_scan(folder / "a.nii");
  make_scan(folder / "b.nii.gz");
  fs::copy_file(weights, folder / "w.bin");
  const Words files = files_in(folder.path());
  const Bytes before = read_bytes(folder / "a.nii");
  refused(folder, run({"b.nii.gz", "--json", "a.nii"}), 2, "--json a.nii is the name of a scan");
  refused(folder, {"run", "-w", "w.bin", "a.nii", "--patch", "24", "--json", "w.bin"}, 2, "w.bin would be overwritten");
  refused(folder, run({"a.nii", "b.nii.gz", "-o", "out.nii.gz"}), 2, "the name of one scan");
  refused(folder, run({"a.nii", "-o", "r.nii", "--change", "./r.nii"}), 2, "two results");
  refused(folder, run({"a.nii", "--uncertainty", "u.nii", "--flips", "1"}), 2, "--flips 1");
  CHECK(files_in(folder.path()) == files);
  CHECK(read_bytes(folder / "a.nii") == before);
}

TEST_CASE("a scan whose name cannot be followed does not stop the others") {
  const TemporaryFolder folder;
  make_scan(folder / "a.nii");
  fs::create_symlink("loop.nii", folder / "loop.nii");
  const Outcome o = run_program(folder, run({"loop.nii", "a.nii"}));
  INFO(o.err);
  CHECK(o.code == 1);
  CHECK(o.out == "a_sr.nii.gz\n");
  CHECK(o.err.find("1 of 2 scans failed") != std::string::npos);
}

TEST_CASE("change, uncertainty and data consistency from the command line") {
  const TemporaryFolder folder;
  make_scan(folder / "a.nii");
  const Outcome o = done(folder, run({"a.nii", "-o", "r.nii", "--change", "c.nii", "--uncertainty", "u.nii", "--flips",
                                      "2", "--data-consistency", "2x2x1", "--json", "r.json"}));
  CHECK(o.out == "r.nii\nc.nii\nu.nii\n");
  const Volume scan = read_scan(folder / "a.nii"), result = read_scan(folder / "r.nii"),
               change = read_scan(folder / "c.nii"), sd = read_scan(folder / "u.nii");
  double worst = 0, largest = 0, spread = 0;
  for (size_t i = 0; i < scan.data.size(); i++) {
    worst = std::max(worst, std::abs(static_cast<double>(result.data[i]) - scan.data[i] - change.data[i]));
    largest = std::max(largest, std::abs(static_cast<double>(result.data[i])));
    spread = std::max(spread, static_cast<double>(sd.data[i]));
  }
  CHECK(worst <= 1e-6 * largest);
  CHECK(spread > 0);
  const nlohmann::json json = read_json(folder / "r.json");
  CHECK(json.at("scans").at(0).at("data_consistency") == 1);
  CHECK(json.at("options").at("flips") == 2);
}
