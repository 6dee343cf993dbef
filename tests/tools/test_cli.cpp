// The command line as a whole: help, usage errors, info, import, bench, and the commands in a chain. `run` has
// test_cli_run.cpp, the commands for images test_image_commands.cpp, test_degrade_commands.cpp and
// test_evaluate_commands.cpp.
#include <sys/stat.h>

#include "tests/tools/command_checks.h"
#include "weights/weights_file.h"

using namespace sr;
using namespace sr::test;
namespace fs = std::filesystem;

namespace {

const fs::path golden = fs::path(SR_TEST_DATA) / "golden";
const std::string weights = (golden / "network" / "b1u1-k4.bin").string();

}  // namespace

TEST_CASE("--version and --help answer on stdout") {
  const TemporaryFolder folder;
  CHECK(done(folder, {"--version"}).out == "srengine " SRENGINE_VERSION "\n");
  const std::string help = done(folder, {"--help"}).out;
  for (const char* command :
       {"run", "bench", "degrade", "upsample", "evaluate", "table", "phantom", "import", "export", "info"}) {
    CHECK(holds(help, command));
    const Outcome o = done(folder, {command, "--help"});
    CHECK(holds(o.out, "Usage:"));
    CHECK(holds(o.out, "--help"));
    CHECK(o.err.empty());
  }
}

TEST_CASE("what is no command or option gets one sentence and exit code 2") {
  const TemporaryFolder folder;
  refused(folder, {}, 2, "subcommand is required");
  refused(folder, {"restore"}, 2, "srengine --help lists");
  refused(folder, {"--nonsense"}, 2, "srengine --help lists");
  refused(folder, {"info"}, 2, "file is required");
  refused(folder, {"info", weights, "--nonsense"}, 2, "--nonsense");
  refused(folder, {"phantom", "-o", "head.nii", "--size", "10x10"}, 2, "'10x10' is no size");
  refused(folder, {"import", "x.pt"}, 2, "--output is required");
  refused(folder, {"bench"}, 2, "either --weights FILE or --model NAME");
  refused(folder, {"bench", "--model", "b4u4", "--weights", weights}, 2, "either --weights FILE or --model NAME");
}

TEST_CASE("info tells weights from scans by their content") {
  const TemporaryFolder folder;
  fs::copy(weights, folder / "renamed.dat");
  const std::string scan = (golden / "nifti" / "int16.nii").string();
  const std::string text = done(folder, {"info", "renamed.dat", scan}).out;
  const size_t second = text.find("\n\nfile ");
  REQUIRE(second != std::string::npos);
  CHECK(holds(text, "mDCSRN b1u1 k4"));
  CHECK(holds(text, "fits the tensors"));
  CHECK(holds(text, "combine.conv"));
  CHECK(text.find("int16, no scaling") > second);

  refused(folder, {"info", "missing.nii"}, 3, "missing.nii");
  write_bytes(folder / "damaged.bin", Bytes(100, 'x'));
  refused(folder, {"info", "damaged.bin"}, 4, "damaged.bin");
  write_bytes(folder / "damaged.nii", Bytes(400, 'x'));
  refused(folder, {"info", "damaged.nii"}, 3, "damaged.nii");
  for (const char* name : {"own_zip.pt", "own_stream.pth", "own.npz", "own_sorted.safetensors"})
    refused(folder, {"info", (golden / "import" / name).string()}, 4, "srengine import");
  const std::string hdf5 = "\x89HDF\r\n\x1a\n";
  write_bytes(folder / "model.h5", Bytes(hdf5.begin(), hdf5.end()));
  refused(folder, {"info", "model.h5"}, 4, "srengine import");
}

TEST_CASE("info into a full disk is an error, however much there is to print") {
  const TemporaryFolder folder;
  Words words{"info"};
  for (int copies = 0; copies < 2; copies++, words.insert(words.end(), 20, weights)) {
    if (words.size() == 1) words.push_back(weights);
    const Outcome o = run_program(folder, words, {.stdout_to = "/dev/full"});
    CHECK(o.code == 5);
    CHECK(o.err == "srengine: standard output could not be written\n");
  }
}

TEST_CASE("a checkpoint becomes a weights file that run takes") {
  const TemporaryFolder folder;
  const std::string checkpoint = (golden / "import" / "own_zip.pt").string();
  const Outcome o = done(folder, {"import", checkpoint, "-o", "own.bin", "--normalization", "zscore", "--explain"});
  CHECK(holds(o.out, "stem.conv.weight"));
  CHECK(holds(o.out, "own.bin: mDCSRN b2u2 k2"));
  const Weights own = load_weights(folder / "own.bin");
  CHECK(own.normalization.kind == Normalization::Kind::zscore);
  CHECK(own.model.growth == 2);

  done(folder, {"phantom", "-o", "head.nii", "--size", "12x14x10", "--voxel", "15x15x15"});
  done(folder, {"run", "-w", "own.bin", "--patch", "24", "head.nii"});

  refused(folder, {"import", "missing.pt", "-o", "x.bin"}, 4, "missing.pt");
  refused(folder, {"import", "head.nii", "-o", "x.bin"}, 4, "head.nii");
  refused(folder, {"import", checkpoint, "-o", "nowhere/x.bin"}, 5, "nowhere/x.bin");
  refused(folder, {"import", checkpoint, "-o", "x.bin", "--normalization", "strong"}, 2, "strong");
  refused(folder, {"import", "own.bin", "-o", "./own.bin"}, 2, "would be overwritten");
  refused(folder, {"import", checkpoint, "-o", "x.bin", "--provenance", "missing.json"}, 2, "missing.json");
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  refused(folder, {"import", checkpoint, "-o", "pipe"}, 5, "not a regular file");
  Weights large = own;
  large.tensors.at("stem.conv.weight").data[0] = 70000;
  save_weights(folder / "large.bin", large);
  refused(folder, {"import", "large.bin", "-o", "x.bin", "--half"}, 4, "without --half");
  done(folder, {"import", "large.bin", "-o", "x.bin"});
}

TEST_CASE("bench checks, times and reports") {
  const TemporaryFolder folder;
  const Outcome o = done(folder, {"bench", "--model", "b1u1,k=4", "--patch", "20", "--patches", "3", "--threads", "1",
                                  "--shape", "30x28x14", "--json", "bench.json"});
  CHECK(holds(o.out, "ms per patch"));
  const nlohmann::json json = read_json(folder / "bench.json");
  CHECK(json.at("model") == "b1u1 k4");
  CHECK(json.at("threads") == 1);
  CHECK(json.at("patch") == nlohmann::json({20, 20, 20}));
  CHECK(json.at("error_against_ref").get<double>() < 1e-3);
  const double median = json.at("ms_per_patch").at("median");
  CHECK(median > 0);
  CHECK(json.at("ms_per_patch").at("min") <= median);
  CHECK(json.at("ms_per_patch").at("max") >= median);
  CHECK(json.at("patches_per_volume") == 6);  // strides of 14
  CHECK(json.at("ms_per_volume").get<double>() == Approx(6 * median));
  CHECK(json.at("gflops") > 0);
  CHECK(json.at("peak_gflops") > 0);
  CHECK(json.at("peak_memory_bytes") > 1000000);
  refused(folder, {"bench", "--model", "b4u4x"}, 2, "'4x' is not a number");
}

TEST_CASE("degrade, upsample, run and evaluate in a chain") {
  const TemporaryFolder folder;
  done(folder, {"phantom", "-o", "truth.nii.gz", "--size", "40x48x40", "--voxel", "4.5x4.5x4.5"});
  done(folder, {"degrade", "truth.nii.gz", "-o", "low.nii.gz", "--grid", "native"});
  done(folder, {"upsample", "low.nii.gz", "--like", "truth.nii.gz", "-o", "linear.nii.gz"});
  const std::string network = (golden / "network" / "b2u2-k8-residual.bin").string();
  done(folder, {"run", "-w", network, "--patch", "24", "--upsample", "2x2x1", "--data-consistency", "off", "low.nii.gz",
                "-o", "restored.nii.gz"});
  // The same network on the image that is already on the output grid: the same result.
  done(folder, {"run", "-w", network, "--patch", "24", "linear.nii.gz", "-o", "restored_too.nii.gz"});
  const ScanInfo truth = ScanReader(folder / "truth.nii.gz").info();
  ScanReader restored(folder / "restored.nii.gz");
  CHECK(restored.info().size == truth.size);
  for (int row = 0; row < 3; row++)
    for (int column = 0; column < 4; column++)
      CHECK(restored.info().affine()[row][column] == Approx(truth.affine()[row][column]).margin(1e-4));
  const bool same = restored.read(0).data == ScanReader(folder / "restored_too.nii.gz").read(0).data;
  CHECK(same);

  const Outcome table = done(folder, {"evaluate", "-r", "truth.nii.gz", "linear.nii.gz", "restored.nii.gz"});
  CHECK(holds(table.out, "linear.nii.gz"));
  CHECK(holds(table.out, "restored.nii.gz"));
}

TEST_CASE("an image degraded from an odd grid is restored by default") {
  const TemporaryFolder folder;
  done(folder, {"phantom", "-o", "truth.nii.gz", "--size", "31x33x20", "--voxel", "6x6x9"});
  const std::string network = (golden / "network" / "b1u1-k4.bin").string();
  for (const char* method : {"linear", "sinc"}) {
    done(folder, {"degrade", "truth.nii.gz", "-o", "low.nii.gz", "--method", method});
    done(folder, {"run", "-w", network, "--patch", "24", "low.nii.gz"});
  }
}
