// Signals: what the program leaves behind, and how it ends. The first one in `run` has test_cli_run.cpp.
#include <csignal>
#include <initializer_list>

#include "tests/support/program_checks.h"

using namespace sr::test;

namespace {

const std::string weights = SR_TEST_DATA "/golden/network/b1u1-k4.bin";

// A head that takes seconds to draw, if nobody interrupts.
const Words large_head{"phantom", "-o", "head.nii.gz", "--labels", "labels.nii", "--size", "300x300x300"};

void make_scan(const TemporaryFolder& folder) {
  done(folder, {"phantom", "-o", "scan.nii", "--size", "120x120x120"});
}

// Started in a folder with n_files files; its results are begun, under temporary names.
void wait_until_it_writes(Program& program, const TemporaryFolder& folder, size_t n_files) {
  REQUIRE(program.runs_until([&] { return folder.n_files() > n_files; }));
}

}  // namespace

TEST_CASE("a signal ends any command as it would have done, and leaves nothing behind") {
  const TemporaryFolder folder;
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    Program program(folder.path(), large_head, {});
    wait_until_it_writes(program, folder, 1);  // image and labels
    program.signal(number);
    const Outcome o = program.wait();
    INFO(o.err);
    CHECK(o.code == 128 + number);
    CHECK(o.out.empty());
    CHECK(folder.n_files() == 0);
  }
  make_scan(folder);
  for (const Words& words : {Words{"degrade", "scan.nii", "-o", "low.nii.gz", "--factor", "1.1x1.1x1.1"},
                             Words{"upsample", "scan.nii", "-o", "high.nii.gz", "--factor", "3x3x3"}}) {
    Program program(folder.path(), words, {});
    wait_until_it_writes(program, folder, 1);
    program.signal(SIGTERM);
    CHECK(program.wait().code == 128 + SIGTERM);
    CHECK(folder.n_files() == 1);
  }
}

TEST_CASE("a lost terminal or a second signal ends run at once, and leaves nothing behind") {
  const TemporaryFolder folder;
  make_scan(folder);
  // One patch by plain loops takes seconds: the first signal waits for its end.
  const Words run{"run", "-w", weights, "scan.nii", "--backend", "ref", "--patch", "126", "--threads", "1"};
  for (const bool lost_terminal : {true, false}) {
    Program program(folder.path(), run, {});
    wait_until_it_writes(program, folder, 1);
    if (lost_terminal) {
      program.signal(SIGHUP);
      CHECK(program.wait().code == 128 + SIGHUP);
    } else {
      program.signal(SIGINT);
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
      program.signal(SIGTERM);
      const Outcome o = program.wait();
      CHECK(o.code == 128 + SIGTERM);
      CHECK(o.err.find("interrupted") == std::string::npos);
    }
    CHECK(folder.n_files() == 1);
  }
}

TEST_CASE("under nohup a lost terminal does not matter") {
  const TemporaryFolder folder;
  Words words = large_head;
  words.back() = "80x80x80";
  Program program(folder.path(), words, {.nohup = true});
  wait_until_it_writes(program, folder, 0);
  program.signal(SIGHUP);
  const Outcome o = program.wait();
  INFO(o.err);
  CHECK(o.code == 0);
  CHECK(folder.n_files() == 2);
}
