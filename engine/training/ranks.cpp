#include "engine/training/ranks.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <optional>

#include "engine/training/mpi_link.h"
#include "engine/training/star_collective.h"
#include "engine/training/tcp_link.h"

namespace sr::train {
namespace {

constexpr int most_ranks = 65536, most_ports = 65535;

// Reads numbers, and says in its sentences which variable is wrong.
class Variables {
 public:
  explicit Variables(const Environment& environment) : environment_(environment) {}

  std::string text(const char* name) const {
    const char* value = environment_(name);
    return value ? value : "";
  }
  bool has(const char* name) const { return !text(name).empty(); }

  int number(const char* name, int from, int to) const {
    const std::string value = text(name);
    int result = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), result);
    if (error != std::errc{} || end != value.data() + value.size() || result < from || result > to)
      throw Error(Status::bad_usage,
                  value.empty()
                      ? fmt::format("{} is not set in the environment, though other variables say that this process is "
                                    "one of several; start them with torchrun, srun or mpirun",
                                    name)
                      : fmt::format("{}={} in the environment: should be a whole number from {} to {}; the launcher of "
                                    "several processes sets it, unset it to run a single one",
                                    name, value, from, to));
    return result;
  }
  int number(const char* name, int from, int to, int otherwise) const {
    return has(name) ? number(name, from, to) : otherwise;
  }

 private:
  const Environment& environment_;
};

Ranks place(const Variables& v, const char* rank, const char* size, const char* local_rank) {
  Ranks ranks;
  ranks.size = v.number(size, 1, most_ranks);
  ranks.rank = v.number(rank, 0, most_ranks);
  ranks.local_rank = v.number(local_rank, 0, most_ranks, 0);
  if (ranks.rank >= ranks.size)
    throw Error(Status::bad_usage, fmt::format("{}={} and {}={} in the environment: ranks run from 0 to {}; the "
                                               "launcher of several processes sets both, unset them to run a single "
                                               "one",
                                               rank, ranks.rank, size, ranks.size, ranks.size - 1));
  return ranks;
}

Ranks of_torchrun(const Variables& v) {
  Ranks ranks = place(v, "RANK", "WORLD_SIZE", "LOCAL_RANK");
  if (ranks.size == 1) return ranks;
  ranks.transport = Ranks::Transport::tcp;
  ranks.address = v.text("MASTER_ADDR");
  if (ranks.address.empty())
    throw Error(
        Status::bad_usage,
        "WORLD_SIZE in the environment says that this process is one of several, but MASTER_ADDR is not set; it "
        "names the machine of rank 0");
  ranks.port = v.number("MASTER_PORT", 1, most_ports - 1);
  // There torchrun itself listens at MASTER_PORT, for PyTorch's processes.
  if (v.text("TORCHELASTIC_USE_AGENT_STORE") == "True") ranks.port++;
  ranks.run = v.text("TORCHELASTIC_RUN_ID") + "." + v.text("TORCHELASTIC_RESTART_COUNT");
  return ranks;
}

// The number of processes is that of the step: SLURM_NTASKS alone may be the whole job's.
Ranks of_srun(const Variables& v) {
  const char* size = v.has("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  Ranks ranks = place(v, "SLURM_PROCID", size, "SLURM_LOCALID");
  if (ranks.size == 1) return ranks;
  if (v.has("PMIX_RANK") || v.has("PMI_RANK")) {
    ranks.transport = Ranks::Transport::mpi;
    return ranks;
  }
  ranks.transport = Ranks::Transport::tcp;
  ranks.run = v.text("SLURM_JOB_ID") + "." + v.text("SLURM_STEP_ID");
  ranks.address = v.text("MASTER_ADDR");
  if (ranks.address.empty())
    ranks.address = first_host(v.has("SLURM_STEP_NODELIST") ? v.text("SLURM_STEP_NODELIST") : v.text("SLURM_NODELIST"));
  if (ranks.address.empty())
    throw Error(Status::bad_usage,
                "neither MASTER_ADDR nor SLURM_STEP_NODELIST is set in the environment; the former names the machine "
                "of rank 0");
  // Of its own for each step of a job, and below the ports that systems hand out themselves.
  const int64_t step = 8 * int64_t{v.number("SLURM_JOB_ID", 0, 1 << 30, 0)} + v.number("SLURM_STEP_ID", 0, 1 << 30, 0);
  ranks.port = v.number("MASTER_PORT", 1, most_ports, 15000 + static_cast<int>(step % 15000));
  return ranks;
}

// Bytes of this machine's boot as a number that a double holds. Containers of one machine share it, with the
// processors.
double machine_number() {
  std::string id;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> id;
  return static_cast<double>(std::hash<std::string>()(id) >> 12);
}

}  // namespace

Ranks ranks_of(const Environment& environment) {
  const Variables v(environment);
  const auto of_mpirun = [&](const char* rank, const char* size, const char* local_rank) {
    Ranks ranks = place(v, rank, size, local_rank);
    if (ranks.size > 1) ranks.transport = Ranks::Transport::mpi;
    return ranks;
  };
  if (v.has("WORLD_SIZE")) return of_torchrun(v);
  if (v.has("OMPI_COMM_WORLD_SIZE"))
    return of_mpirun("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK");
  if (v.has("PMI_SIZE"))
    return of_mpirun("PMI_RANK", "PMI_SIZE", v.has("SLURM_LOCALID") ? "SLURM_LOCALID" : "MPI_LOCALRANKID");
  // A batch script has SLURM_PROCID and SLURM_NTASKS too; a process of a step alone has the step's number.
  if (v.has("SLURM_STEP_ID") && v.has("SLURM_PROCID")) return of_srun(v);
  return {};
}

std::string first_host(const std::string& hosts) {
  std::string host;
  for (size_t i = 0; i < hosts.size() && hosts[i] != ','; i++) {
    if (hosts[i] != '[') {
      host += hosts[i];
      continue;
    }
    const size_t first = i + 1, end = hosts.find_first_of("-,]", first);
    host += hosts.substr(first, end - first);
    i = hosts.find(']', first);
    if (i == std::string::npos) break;
  }
  return host;
}

std::unique_ptr<Collective> join(const Ranks& ranks) {
  switch (ranks.transport) {
    case Ranks::Transport::mpi:
      return std::make_unique<StarCollective>(open_mpi_link(ranks));
    case Ranks::Transport::tcp:
      return std::make_unique<StarCollective>(open_tcp_link(ranks));
    case Ranks::Transport::none:
      break;
  }
  return std::make_unique<SingleProcess>();
}

int fair_share(const std::vector<Processors>& of_ranks, int rank) {
  const Processors& mine = of_ranks[static_cast<size_t>(rank)];
  const auto may_use = [](const Processors& p, int processor) {
    return (static_cast<uint32_t>(p.words[processor / 32]) >> (processor % 32) & 1) != 0;
  };
  double share = 0;
  for (int processor = 0; processor < 32 * Processors::n_words; processor++) {
    if (!may_use(mine, processor)) continue;
    const auto n_users = std::ranges::count_if(
        of_ranks, [&](const Processors& p) { return p.machine == mine.machine && may_use(p, processor); });
    share += 1 / static_cast<double>(n_users);
  }
  return std::max(1, static_cast<int>(share + 1e-6));  // 3 times a third is 1
}

int fair_share(Collective& collective) {
  std::vector<Processors> of_ranks(static_cast<size_t>(collective.size()));
  Processors& mine = of_ranks[static_cast<size_t>(collective.rank())];
  cpu_set_t set;
  static_assert(CPU_SETSIZE == 32 * Processors::n_words);
  mine.machine = machine_number();
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int p = 0; p < CPU_SETSIZE; p++)
      if (CPU_ISSET(p, &set)) mine.words[p / 32] += static_cast<double>(uint32_t{1} << (p % 32));
  static_assert(sizeof(Processors) == (1 + Processors::n_words) * sizeof(double));
  collective.sum(&of_ranks.front().machine, (1 + Processors::n_words) * int64_t{collective.size()});
  return fair_share(of_ranks, collective.rank());
}

}  // namespace sr::train
