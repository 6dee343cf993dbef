// The processes of a run: their places as launchers give them, their sums, and how they end together.
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

#include "engine/training/ranks.h"
#include "engine/training/star_collective.h"
#include "tests/support/catch.h"

using namespace sr;
using namespace sr::train;
using namespace std::chrono_literals;

namespace {

using Variables = std::map<std::string, std::string>;

Ranks ranks_with(const Variables& variables) {
  return ranks_of([&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  });
}

void refused(const Variables& variables, const std::string& part) {
  CAPTURE(part);
  try {
    ranks_with(variables);
    FAIL("is not refused");
  } catch (const Error& e) {
    CHECK(e.status == Status::bad_usage);
    CHECK_THAT(e.what(), ContainsSubstring(part));
  }
}

Variables with(Variables variables, const Variables& more) {
  for (const auto& [name, value] : more) variables[name] = value;
  return variables;
}

const Variables torchrun = {{"RANK", "3"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "1"}};
const Variables batch_script = {{"SLURM_JOB_ID", "77"},
                                {"SLURM_NTASKS", "4"},
                                {"SLURM_PROCID", "0"},
                                {"SLURM_LOCALID", "0"},
                                {"SLURM_NODELIST", "n[1-2]"}};
const Variables srun = with(batch_script, {{"SLURM_STEP_ID", "2"},
                                           {"SLURM_PROCID", "3"},
                                           {"SLURM_LOCALID", "1"},
                                           {"SLURM_STEP_NUM_TASKS", "4"},
                                           {"SLURM_STEP_NODELIST", "n[003-004],m1"}});
const Variables srun_mpi = with(srun, {{"PMIX_RANK", "3"}});
const Variables mpirun = {
    {"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}};

// MPI between threads, each of which is a rank.
struct ThreadMpi {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::pair<int, int>, std::deque<std::vector<char>>> messages;  // from, to
  std::map<int, const char*> ended;                                       // rank, how
};
ThreadMpi* thread_mpi = nullptr;
thread_local int this_rank = 0;

const char* send(int to, const void* bytes, int64_t n) {
  const std::lock_guard lock(thread_mpi->mutex);
  if (thread_mpi->ended.contains(to)) return "it has ended";
  const char* first = static_cast<const char*>(bytes);
  thread_mpi->messages[{this_rank, to}].emplace_back(first, first + n);
  thread_mpi->changed.notify_all();
  return nullptr;
}

const char* receive(int from, void* bytes, int64_t n) {
  std::unique_lock lock(thread_mpi->mutex);
  auto& messages = thread_mpi->messages[{from, this_rank}];
  thread_mpi->changed.wait(lock, [&] { return !messages.empty() || thread_mpi->ended.contains(from); });
  if (messages.empty()) return "it has ended";
  const std::vector<char> message = messages.front();
  messages.pop_front();
  if (static_cast<int64_t>(message.size()) != n) return "message truncated";
  std::memcpy(bytes, message.data(), message.size());
  return nullptr;
}

void end(const char* how) {
  const std::lock_guard lock(thread_mpi->mutex);
  thread_mpi->ended[this_rank] = how;
  thread_mpi->changed.notify_all();
}

constexpr mpi::Api kApiOfThreads = {.start = nullptr,
                                    .send = send,
                                    .receive = receive,
                                    .finish = []() -> const char* {
                                      end("finished");
                                      return nullptr;
                                    },
                                    .abort = [](int) { end("aborted"); }};

// f(collective) on `size` ranks, each a thread; what each of them threw. how_ended: what they called last.
template <class F>
std::vector<std::string> on_ranks(int size, F f, std::map<int, const char*>* how_ended = nullptr) {
  ThreadMpi mpi;
  thread_mpi = &mpi;
  std::vector<std::string> thrown(static_cast<size_t>(size));
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < size; rank++)
    threads.emplace_back([&, rank] {
      this_rank = rank;
      try {
        auto collective = std::make_unique<StarCollective>(kApiOfThreads, rank, size);
        f(collective);
      } catch (const std::exception& e) {
        thrown[rank] = e.what();
      }
    });
  threads.clear();
  if (how_ended) *how_ended = mpi.ended;
  return thrown;
}

}  // namespace

TEST_CASE("a process's place is what its launcher says") {
  CHECK(ranks_with({}).size == 1);
  CHECK(ranks_with({{"RANK", "3"}, {"LOCAL_RANK", "x"}}).size == 1);  // of something else
  CHECK(ranks_with({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).size == 1);

  const Ranks mpi = ranks_with(mpirun);
  CHECK((mpi.rank == 1 && mpi.size == 2 && mpi.local_rank == 1));
  const Ranks hydra = ranks_with({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "1"}});
  CHECK((hydra.rank == 1 && hydra.size == 2 && hydra.local_rank == 1));
  const Ranks slurm = ranks_with(srun_mpi);
  CHECK((slurm.rank == 3 && slurm.size == 4 && slurm.local_rank == 1));
  CHECK(ranks_with(with(srun, {{"PMI_RANK", "3"}})).rank == 3);

  // Within a batch script, not started by srun; in a step of one task within a job of four.
  CHECK(ranks_with(batch_script).size == 1);
  CHECK(ranks_with(with(srun, {{"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_PROCID", "0"}})).size == 1);
  // One launcher within another: the inner one. A script may set WORLD_SIZE for other programs.
  CHECK(ranks_with(with(batch_script, mpirun)).size == 2);
  CHECK(ranks_with(with(srun, mpirun)).rank == 1);
  CHECK(ranks_with(with(mpirun, torchrun)).size == 2);
  CHECK(ranks_with(with(srun_mpi, torchrun)).size == 4);
  CHECK(ranks_with(with(srun, {{"WORLD_SIZE", "1"}})).size == 1);
}

TEST_CASE("places that cannot be are refused with one sentence") {
  refused(with(mpirun, {{"OMPI_COMM_WORLD_RANK", "2"}}), "OMPI_COMM_WORLD_RANK=2 and OMPI_COMM_WORLD_SIZE=2");
  refused(with(mpirun, {{"OMPI_COMM_WORLD_RANK", "2"}}), "ranks run from 0 to 1");
  refused(with(mpirun, {{"OMPI_COMM_WORLD_RANK", ""}}), "OMPI_COMM_WORLD_RANK is not set");
  refused(with(mpirun, {{"OMPI_COMM_WORLD_RANK", "-1"}}), "OMPI_COMM_WORLD_RANK=-1");
  refused(with(torchrun, {{"WORLD_SIZE", "two"}}), "WORLD_SIZE=two");
  refused(with(torchrun, {{"WORLD_SIZE", "0"}}), "WORLD_SIZE=0");
  refused(with(torchrun, {{"WORLD_SIZE", "99999999999"}}), "WORLD_SIZE=99999999999");
  refused(with(srun_mpi, {{"SLURM_PROCID", "4"}}), "SLURM_PROCID=4");
}

TEST_CASE("several processes that were started without MPI are told how to be started") {
  const Variables elastic = with(torchrun, {{"TORCHELASTIC_RUN_ID", "none"}});
  for (const Variables& variables : {torchrun, elastic, with(srun, torchrun), with(srun_mpi, elastic)}) {
    refused(variables, "WORLD_SIZE=4");
    refused(variables, "mpirun -n 4 srtrain");
    refused(variables, "srun --mpi=pmix srtrain");
    refused(variables, "unset WORLD_SIZE");
  }
  CHECK(ranks_with(with(elastic, {{"WORLD_SIZE", "1"}, {"RANK", "0"}})).size == 1);
  refused(srun, "SLURM_STEP_NUM_TASKS=4");
  refused(srun, "srun --mpi=pmix srtrain");
  refused(with(srun, {{"SLURM_STEP_NUM_TASKS", ""}}), "SLURM_NTASKS=4");
}

TEST_CASE("ranks of one machine share out its processors") {
  const auto on = [](double machine, uint32_t processors) {
    Processors p;
    p.machine = machine;
    p.words[3] = processors;
    return p;
  };
  CHECK(fair_share({on(1, 0xff), on(1, 0xff), on(2, 0xff)}, 0) == 4);
  CHECK(fair_share({on(1, 0xff), on(1, 0xff), on(2, 0xff)}, 2) == 8);
  CHECK(fair_share({on(1, 0x0f), on(1, 0xf0)}, 1) == 4);  // bound to processors of its own
  CHECK(fair_share({on(1, 0x07), on(1, 0x07), on(1, 0x07)}, 1) == 1);
  CHECK(fair_share({on(1, 1), on(1, 1)}, 1) == 1);
  CHECK(fair_share({on(1, 0xffffffff)}, 0) == 32);
}

TEST_CASE("sums are the same bits on every rank, added in the order of ranks") {
  constexpr size_t n = 300'000;  // more than one frame holds
  const auto number = [](int rank, size_t i) { return std::sin(static_cast<double>(i + 1) * (rank + 1)) / 3; };
  std::vector<double> expected(n);
  std::vector<float> expected_f(n);
  for (size_t i = 0; i < n; i++) {
    expected[i] = number(0, i) + number(1, i) + number(2, i);
    double sum = 0;
    for (int rank = 0; rank < 3; rank++) sum += double{static_cast<float>(number(rank, i))};
    expected_f[i] = static_cast<float>(sum);
  }
  std::mutex mutex;
  int n_right = 0;
  const auto thrown = on_ranks(3, [&](std::unique_ptr<StarCollective>& c) {
    std::vector<double> values(n);
    std::vector<float> values_f(n);
    for (size_t i = 0; i < n; i++) {
      values[i] = number(c->rank(), i);
      values_f[i] = static_cast<float>(values[i]);
    }
    c->sum(values.data(), n);
    c->sum(values_f.data(), n);
    std::vector<uint8_t> bytes(2'500'000, static_cast<uint8_t>(7 + c->rank()));
    c->broadcast(bytes.data(), static_cast<int64_t>(bytes.size()));
    c->broadcast(nullptr, 0);
    c->finish();
    const std::lock_guard lock(mutex);
    n_right += values == expected && values_f == expected_f && bytes == std::vector<uint8_t>(2'500'000, 7);
  });
  CHECK(thrown == std::vector<std::string>(3));
  CHECK(n_right == 3);
}

// Catch2's checks are for one thread: what a rank saw is looked at when all have ended.
struct Seen {
  std::string sentence;
  int code = 0;
  bool said = false;
};

TEST_CASE("a rank that fails ends the others, and rank 0 says why") {
  for (const int failing : {0, 1, 2}) {
    CAPTURE(failing);
    std::vector<Seen> seen(3);
    const auto thrown = on_ranks(3, [&](std::unique_ptr<StarCollective>& c) {
      Seen& here = seen[c->rank()];
      double value = 1;
      c->sum(&value, 1);
      if (c->rank() == failing) {
        here.said = c->fail(Status::bad_output, "the disk is full");
        return;
      }
      try {
        c->sum(&value, 1);
      } catch (const OtherRankFailed& e) {
        here = {e.what(), static_cast<int>(e.status), e.said};
        c->fail(e.status, e.what());
      }
    });
    CHECK(thrown == std::vector<std::string>(3));
    for (const int rank : {0, 1, 2}) {
      const Seen& here = seen[rank];
      CHECK(here.said == (rank != 0));
      if (rank != failing) CHECK(here.code == 5);
    }
    if (failing != 0) CHECK(seen[0].sentence == "rank " + std::to_string(failing) + ": the disk is full");
  }
}

TEST_CASE("all ranks fail at the same step, one of them speaks") {
  std::vector<Seen> seen(3);
  const auto thrown = on_ranks(3, [&](std::unique_ptr<StarCollective>& c) {
    seen[c->rank()].said = c->fail(Status::interrupted, "interrupted");
  });
  CHECK(thrown == std::vector<std::string>(3));
  CHECK((!seen[0].said && seen[1].said && seen[2].said));
}

TEST_CASE("a rank that is gone ends the others") {
  for (const int gone : {0, 1}) {
    CAPTURE(gone);
    const auto begin = std::chrono::steady_clock::now();
    std::vector<Seen> seen(3);
    std::map<int, const char*> how_ended;
    const auto until_gone = [&](std::unique_ptr<StarCollective>& c) {
      if (c->rank() == gone) return c.reset();
      double value = 1;
      try {
        c->sum(&value, 1);
      } catch (const OtherRankFailed& e) {
        seen[c->rank()] = {e.what(), static_cast<int>(e.status), e.said};
        c->fail(e.status, e.what());
      }
    };
    const auto thrown = on_ranks(3, until_gone, &how_ended);
    CHECK(thrown == std::vector<std::string>(3));
    for (const int rank : {0, 1, 2}) {
      const Seen& here = seen[rank];
      // Who misses a rank takes the others with it; who was told of it ends as always.
      const bool misses = rank != gone && (gone == 0 || rank == 0);
      CHECK(std::string(how_ended.at(rank)) == (misses ? "aborted" : "finished"));
      if (rank == gone) continue;
      CHECK(here.code == 6);
      // Rank 2 hears of rank 1 from rank 0, which speaks.
      CHECK(here.said == (gone == 1 && rank == 2));
      if (!here.said) CHECK_THAT(here.sentence, ContainsSubstring("rank " + std::to_string(gone) + " of 3 is gone"));
    }
    CHECK(std::chrono::steady_clock::now() - begin < 10s);
  }
}

TEST_CASE("ranks at different places of a run are told so") {
  const auto thrown = on_ranks(2, [&](std::unique_ptr<StarCollective>& c) {
    double values[2] = {};
    try {
      c->sum(values, c->rank() + 1);
    } catch (const OtherRankFailed& e) {
      c->fail(e.status, e.what());
      if (!e.said) throw;
    }
  });
  CHECK_THAT(thrown[0], ContainsSubstring("rank 1 is at another place of the run"));
  CHECK(thrown[1] == "");
}
