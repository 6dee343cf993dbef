// The processes of a run: their places as launchers give them, their sums over TCP, and how they end together.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmath>
#include <map>
#include <mutex>
#include <thread>

#include "engine/training/ranks.h"
#include "engine/training/star_collective.h"
#include "engine/training/tcp_link.h"
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

const Variables torchrun = {
    {"RANK", "3"}, {"WORLD_SIZE", "4"}, {"LOCAL_RANK", "1"}, {"MASTER_ADDR", "node7"}, {"MASTER_PORT", "29500"}};
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
const Variables mpirun = {
    {"OMPI_COMM_WORLD_RANK", "1"}, {"OMPI_COMM_WORLD_SIZE", "2"}, {"OMPI_COMM_WORLD_LOCAL_RANK", "1"}};

// A free port, for a moment.
int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  socklen_t size = sizeof address;
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return ntohs(address.sin_port);
}

Ranks tcp_ranks(int rank, int size, int port) {
  return {.rank = rank,
          .size = size,
          .transport = Ranks::Transport::tcp,
          .address = "127.0.0.1",
          .port = port,
          .run = "a test"};
}

// f(collective) on `size` ranks, each a thread; what each of them threw.
template <class F>
std::vector<std::string> on_ranks(int size, F f) {
  const int port = free_port();
  std::vector<std::string> thrown(static_cast<size_t>(size));
  std::vector<std::jthread> threads;
  for (int rank = 0; rank < size; rank++)
    threads.emplace_back([&, rank] {
      try {
        auto collective = std::make_unique<StarCollective>(open_tcp_link(tcp_ranks(rank, size, port), 20s));
        f(collective);
      } catch (const std::exception& e) {
        thrown[static_cast<size_t>(rank)] = e.what();
      }
    });
  threads.clear();
  return thrown;
}

// Connects, and says what it is given.
int stranger(int port, const std::string& words) {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  while (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) std::this_thread::sleep_for(10ms);
  static_cast<void>(::send(fd, words.data(), words.size(), MSG_NOSIGNAL));
  return fd;
}

}  // namespace

TEST_CASE("a process's place is what its launcher says") {
  using Transport = Ranks::Transport;
  CHECK(ranks_with({}).size == 1);
  CHECK(ranks_with({{"RANK", "3"}, {"LOCAL_RANK", "x"}}).size == 1);  // of something else

  const Ranks torch = ranks_with(torchrun);
  CHECK((torch.rank == 3 && torch.size == 4 && torch.local_rank == 1 && torch.transport == Transport::tcp));
  CHECK((torch.address == "node7" && torch.port == 29500));
  CHECK(ranks_with(with(torchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "True"}})).port == 29501);
  CHECK(ranks_with(with(torchrun, {{"TORCHELASTIC_USE_AGENT_STORE", "False"}})).port == 29500);
  CHECK(ranks_with({{"RANK", "0"}, {"WORLD_SIZE", "1"}}).transport == Transport::none);

  const Ranks mpi = ranks_with(mpirun);
  CHECK((mpi.rank == 1 && mpi.size == 2 && mpi.local_rank == 1 && mpi.transport == Transport::mpi));
  const Ranks hydra = ranks_with({{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALRANKID", "1"}});
  CHECK((hydra.rank == 1 && hydra.size == 2 && hydra.local_rank == 1 && hydra.transport == Transport::mpi));

  const Ranks slurm = ranks_with(srun);
  CHECK((slurm.rank == 3 && slurm.size == 4 && slurm.local_rank == 1 && slurm.transport == Transport::tcp));
  CHECK((slurm.address == "n003" && slurm.port == 15000 + 77 * 8 + 2));
  const Ranks told = ranks_with(with(srun, {{"MASTER_ADDR", "head"}, {"MASTER_PORT", "4000"}}));
  CHECK((told.address == "head" && told.port == 4000));
  CHECK(ranks_with(with(srun, {{"PMIX_RANK", "3"}})).transport == Transport::mpi);

  // Within a batch script, not started by srun; in a step of one task within a job of four.
  CHECK(ranks_with(batch_script).size == 1);
  CHECK(ranks_with(with(srun, {{"SLURM_STEP_NUM_TASKS", "1"}, {"SLURM_PROCID", "0"}})).size == 1);
  // One launcher within another: the inner one.
  CHECK(ranks_with(with(srun, torchrun)).size == 4);
  CHECK(ranks_with(with(srun, torchrun)).address == "node7");
  CHECK(ranks_with(with(batch_script, mpirun)).size == 2);
  CHECK(ranks_with(with(srun, mpirun)).rank == 1);
}

TEST_CASE("places that cannot be are refused with one sentence") {
  refused(with(torchrun, {{"RANK", "4"}}), "RANK=4 and WORLD_SIZE=4");
  refused(with(torchrun, {{"RANK", ""}}), "RANK is not set");
  refused(with(torchrun, {{"RANK", "-1"}}), "RANK=-1");
  refused(with(torchrun, {{"WORLD_SIZE", "two"}}), "WORLD_SIZE=two");
  refused(with(torchrun, {{"WORLD_SIZE", "0"}}), "WORLD_SIZE=0");
  refused(with(torchrun, {{"WORLD_SIZE", "99999999999"}}), "WORLD_SIZE=99999999999");
  refused(with(torchrun, {{"MASTER_ADDR", ""}}), "MASTER_ADDR");
  refused(with(torchrun, {{"MASTER_PORT", "70000"}}), "MASTER_PORT=70000");
  refused(with(mpirun, {{"OMPI_COMM_WORLD_RANK", "2"}}), "ranks run from 0 to 1");
  refused(with(srun, {{"SLURM_PROCID", "4"}}), "SLURM_PROCID=4");
  refused(with(srun, {{"SLURM_STEP_NODELIST", ""}, {"SLURM_NODELIST", ""}}), "SLURM_STEP_NODELIST");
}

TEST_CASE("the first of Slurm's hosts") {
  CHECK(first_host("node7") == "node7");
  CHECK(first_host("a1,b2") == "a1");
  CHECK(first_host("gpu[003-010,12],login1") == "gpu003");
  CHECK(first_host("gpu[12,14]") == "gpu12");
  CHECK(first_host("rack[1-2]n[05-06].site") == "rack1n05.site");
  CHECK(first_host("broken[1") == "broken1");
  CHECK(first_host("") == "");
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

TEST_CASE("sums over TCP are the same bits on every rank, added in the order of ranks") {
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
      Seen& here = seen[static_cast<size_t>(c->rank())];
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
      const Seen& here = seen[static_cast<size_t>(rank)];
      CHECK(here.said == (rank != 0));
      if (rank != failing) CHECK(here.code == 5);
    }
    if (failing != 0) CHECK(seen[0].sentence == "rank " + std::to_string(failing) + ": the disk is full");
  }
}

TEST_CASE("all ranks fail at the same step, one of them speaks") {
  std::vector<Seen> seen(3);
  const auto thrown = on_ranks(3, [&](std::unique_ptr<StarCollective>& c) {
    seen[static_cast<size_t>(c->rank())].said = c->fail(Status::interrupted, "interrupted");
  });
  CHECK(thrown == std::vector<std::string>(3));
  CHECK((!seen[0].said && seen[1].said && seen[2].said));
}

TEST_CASE("a rank that is gone ends the others") {
  for (const int gone : {0, 1}) {
    CAPTURE(gone);
    const auto begin = std::chrono::steady_clock::now();
    std::vector<Seen> seen(3);
    const auto thrown = on_ranks(3, [&](std::unique_ptr<StarCollective>& c) {
      if (c->rank() == gone) return c.reset();
      double value = 1;
      try {
        c->sum(&value, 1);
      } catch (const OtherRankFailed& e) {
        seen[static_cast<size_t>(c->rank())] = {e.what(), static_cast<int>(e.status), e.said};
        c->fail(e.status, e.what());
      }
    });
    CHECK(thrown == std::vector<std::string>(3));
    for (const int rank : {0, 1, 2}) {
      const Seen& here = seen[static_cast<size_t>(rank)];
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

TEST_CASE("strangers are turned away, and who does not come is named") {
  const int port = free_port();
  std::string thrown;
  {
    const std::jthread leader([&] {
      try {
        open_tcp_link(tcp_ranks(0, 3, port), 4s);
      } catch (const Error& e) {
        thrown = e.what();
      }
    });
    const int web = stranger(port, "GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n");
    auto other_run = tcp_ranks(1, 3, port), other_size = tcp_ranks(1, 2, port);
    other_run.run = "another run";
    CHECK_THROWS_AS(open_tcp_link(other_run, 100ms), Error);
    CHECK_THROWS_AS(open_tcp_link(other_size, 100ms), Error);
    const auto first = open_tcp_link(tcp_ranks(1, 3, port), 2s);
    CHECK_THROWS_AS(open_tcp_link(tcp_ranks(1, 3, port), 100ms), Error);  // its place is taken
    ::close(web);
  }
  CHECK_THAT(thrown, ContainsSubstring("of 3 ranks have not come: 2;"));
  try {
    open_tcp_link(tcp_ranks(1, 2, port), 300ms);
    FAIL("nobody listens there");
  } catch (const Error& e) {
    CHECK_THAT(e.what(),
               ContainsSubstring("rank 1 does not reach rank 0 at 127.0.0.1") && ContainsSubstring("refused"));
  }
}
