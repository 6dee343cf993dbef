// srtrain as a user starts it, with an engine and scans that are made up (fake_srtrain.cpp).
#include "tests/support/program_checks.h"

using namespace sr::test;
namespace fs = std::filesystem;

namespace {

Words arguments(const std::string& out, const Words& more = {}) {
  return joined({"--data", "scans", "--model", "b1u1,k=2", "--out", out, "--validate-every", "100", "--save-every", "7",
                 "--threads", "1", "--average", "0.9"},
                more);
}

// After plain training in "l1" made --generator.
Words gan_arguments(const std::string& out, const Words& more = {}) {
  const Words critic{"--critic-width", "1",  "--critic-hidden", "2", "--critic-first", "40",
                     "--extra-every",  "10", "--extra-steps",   "7"};
  const Words run{"--patch",   "16", "--validate-every", "20",  "--save-every", "9",
                  "--threads", "1",  "--average",        "0.9", "--log-every",  "1"};
  return joined({"gan", "--data", "scans", "--generator", "l1/last.bin", "--out", out},
                joined(critic, joined(run, more)));
}

void same_files(const fs::path& a, const fs::path& b) {
  for (const char* name : {"state.bin", "last.bin", "best.bin"}) {
    CAPTURE(name);
    CHECK(read_bytes(a / name) == read_bytes(b / name));
  }
}

}  // namespace

TEST_CASE("a run, signals in it, and going on to the same bits") {
  TemporaryFolder folder;
  const Outcome whole = run_program(folder, arguments("whole", {"--steps", "300"}));
  CHECK(whole.code == 0);
  CHECK(whole.out == "whole/best.bin\n");
  CHECK_THAT(whole.err, ContainsSubstring("step 100: validation PSNR") && ContainsSubstring("step 300 of 300") &&
                            ContainsSubstring("bad.nii is left out: it is made up"));

  for (const int number : {SIGTERM, SIGINT, SIGKILL}) {
    CAPTURE(number);
    const std::string run = "run" + std::to_string(number);
    Program program(folder.path(), arguments(run, {"--steps", "300"}), {});
    CHECK(program.runs_until([&] { return fs::exists(folder / run / "csv" / "loss.csv"); }));
    program.signal(number);
    const Outcome outcome = program.wait();
    CHECK(outcome.code == (number == SIGKILL ? 137 : 130));
    CHECK(outcome.out == "");
    if (number != SIGKILL) CHECK_THAT(outcome.err, ContainsSubstring("interrupted after step"));
    CHECK(run_program(folder, arguments(run, {"--steps", "300", "--resume"})).code == 0);
    same_files(folder / "whole", folder / run);
  }
}

TEST_CASE("what srtrain refuses, it refuses with its exit code and one sentence") {
  TemporaryFolder folder;
  CHECK(run_program(folder, arguments("run", {"--steps", "10", "--quiet"})).code == 0);
  refused(folder, arguments("run", {"--steps", "10"}), 2, "--resume goes on with it");
  refused(folder, arguments("run", {"--steps", "10", "--resume", "--lr", "0.1"}), 2, "--lr 0.0001 there, 0.1 here");
  refused(folder, arguments("run", {"--data", "others", "--resume"}), 2, "--data");
  refused(folder, {"--data", "others", "--model", "b1u1,k=2", "--out", "run", "--average", "0.9", "--resume"}, 2,
          "split");
  refused(folder, arguments("new", {"--resume"}), 2, "no state.bin");
  refused(folder, arguments("new", {"--lr", "fast"}), 2, "--lr");
  refused(folder, arguments("run", {"--steps", "10", "--resume", "--axes"}), 2, "--axes not given there, true here");
  refused(folder, arguments("run", {"--steps", "10", "--resume", "--favour", "a=2"}), 2,
          "--favour not given there, {\"a\":2} here");
  refused(folder, arguments("new", {"--init", "none.bin"}), 4, "none.bin");
  refused(folder, arguments("new", {"--init", "run/last.bin", "--model", "b2u2"}), 2, "--model");
  refused(folder, {"--data", "scans", "--init", "run/last.bin", "--model", "b2u2", "--out", "new"}, 4, "b2u2");
  refused(folder, arguments("run/last.bin"), 5, "run/last.bin");
  fs::resize_file(folder / "run" / "state.bin", 100);
  refused(folder, arguments("run", {"--resume"}), 4, "run/state.bin");
}

TEST_CASE("strengths of augmentation and favours that make no sense are refused before a folder is made") {
  TemporaryFolder folder;
  const auto run = [](const Words& more) { return joined(arguments("run", {"--steps", "1", "--quiet"}), more); };
  const auto refused_option = [&](const Words& words, const std::string& part) {
    refused(folder, run(words), 2, "srtrain: " + part);
    CHECK_FALSE(fs::exists(folder / "run"));
    fs::remove_all(folder / "run");
  };
  refused_option({"--blur", "4.5"}, "--blur 4.5: is a standard deviation in voxels; 4 at most");
  refused_option({"--blur=-1"}, "--blur -1: ");
  refused_option({"--noise", "11"}, "--noise 11: is a standard deviation in normalised intensities");
  refused_option({"--noise", "nan"}, "--noise nan: ");
  refused_option({"--intensity", "1"}, "--intensity 1: must be less than 1");
  for (const char* favour : {"a", "a=", "a=0", "a=2.5", "a=1001", "=2"})
    refused_option({"--favour", favour}, std::string("--favour ") + favour + ": needs the file name");
  refused_option({"--favour", "a=2", "--favour", "a=3"}, "--favour a=3: this scan is named twice");
  CHECK(run_program(folder, run({"--noise", "30", "--normalization", "none", "--blur", "4", "--favour", "a=1000"}))
            .code == 0);
}

TEST_CASE("a run against a critic, signals in it, and going on to the same bits") {
  TemporaryFolder folder;
  REQUIRE(run_program(folder, arguments("l1", {"--steps", "2", "--quiet"})).code == 0);
  const Outcome whole = run_program(folder, gan_arguments("whole", {"--steps", "50"}));
  CHECK(whole.code == 0);
  CHECK(whole.out == "whole/best.bin\n");
  CHECK_THAT(whole.err, ContainsSubstring("critic step 147, generator step 20: Wasserstein estimate") &&
                            ContainsSubstring("critic 318 of 318, generator 50 of 50") &&
                            ContainsSubstring("validation PSNR") && ContainsSubstring("bad.nii is left out"));
  // In the critic's beginning, and later.
  for (const char* seen : {"critic_wasserstein.csv", "generator_loss.csv", "validation_wasserstein.csv"})
    for (const int number : {SIGTERM, SIGKILL}) {
      CAPTURE(seen, number);
      const std::string run = std::string(seen) + std::to_string(number);
      Program program(folder.path(), gan_arguments(run, {"--steps", "50"}), {});
      CHECK(program.runs_until([&] { return fs::exists(folder / run / "csv" / seen); }));
      program.signal(number);
      const Outcome outcome = program.wait();
      CHECK(outcome.code == (number == SIGKILL ? 137 : 130));
      CHECK(outcome.out == "");
      if (number == SIGTERM) CHECK_THAT(outcome.err, ContainsSubstring("interrupted after critic step"));
      CHECK(run_program(folder, gan_arguments(run, {"--steps", "50", "--resume"})).code == 0);
      same_files(folder / "whole", folder / run);
    }
}

TEST_CASE("what srtrain gan refuses, it refuses with its exit code and one sentence") {
  TemporaryFolder folder;
  REQUIRE(run_program(folder, arguments("l1", {"--steps", "2", "--quiet"})).code == 0);
  REQUIRE(run_program(folder, gan_arguments("run", {"--steps", "2", "--quiet"})).code == 0);
  refused(folder, {"gan", "--data", "scans", "--out", "new"}, 2, "--generator is required (srtrain gan --help");
  refused(folder, gan_arguments("new", {"--model", "b1u1"}), 2, "--model");
  refused(folder, gan_arguments("new", {"--warm-up", "3"}), 2, "--warm-up");
  refused(folder, gan_arguments("new", {"--critic-steps", "0"}), 2, "--critic-steps");
  refused(folder, gan_arguments("new", {"--critic-beta2", "1"}), 2, "--critic-beta2");
  refused(folder, gan_arguments("new", {"--guard-l1", "-1"}), 2, "--guard-l1");
  refused(folder, {"gan", "--data", "scans", "--generator", "l1/last.bin", "--out", "new", "--patch", "15"}, 2,
          "--patch 15: a critic needs patches of 16 voxels");
  refused(folder, {"gan", "--data", "scans", "--generator", "none.bin", "--out", "new"}, 4, "none.bin");
  refused(folder, gan_arguments("run"), 2, "--resume goes on with it");
  refused(folder, gan_arguments("run", {"--resume", "--penalty", "9"}), 2, "--penalty 10.0 there, 9.0 here");
  refused(folder, gan_arguments("run", {"--resume", "--adversarial", "0.2", "--critic-lr", "0.1"}), 2,
          "--generator run/last.bin");
  refused(folder, arguments("run", {"--resume"}), 2,
          "run holds a run of srtrain gan, which srtrain gan --resume goes on with");
  refused(folder, gan_arguments("l1", {"--resume"}), 2,
          "l1 holds a run of plain srtrain, which srtrain --resume goes on with");
  refused(folder, {"--data", "scans", "gan", "--out", "new"}, 2, "gan");
  // These do not change the numbers.
  CHECK(run_program(folder, gan_arguments("run", {"--resume", "--steps", "3", "--quiet", "--guard-l1", "5",
                                                  "--guard-gradient", "0"}))
            .code == 0);
  fs::resize_file(folder / "run" / "state.bin", 100);
  refused(folder, gan_arguments("run", {"--resume"}), 4, "run/state.bin");
}

TEST_CASE("the two helps name each other's options where they are shared") {
  TemporaryFolder folder;
  const Outcome plain = run_program(folder, {"--help"}), gan = run_program(folder, {"gan", "--help"});
  CHECK((plain.code == 0 && gan.code == 0));
  for (const char* shared : {"--data", "--favour", "--steps", "--batch", "--lr", "--average", "--conv", "--resume"})
    for (const Outcome& help : {plain, gan}) CHECK_THAT(help.out, ContainsSubstring(std::string(shared) + " "));
  CHECK_THAT(plain.out, ContainsSubstring("--init") && ContainsSubstring("srtrain gan --help") &&
                            !ContainsSubstring("--critic-lr"));
  CHECK_THAT(gan.out, ContainsSubstring("--generator") && ContainsSubstring("--critic-lr") &&
                          ContainsSubstring("--guard-l1") && !ContainsSubstring("--init") &&
                          !ContainsSubstring("--schedule"));
}
