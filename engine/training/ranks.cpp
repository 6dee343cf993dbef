#include "engine/training/ranks.h"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <string>

#include "engine/base/plugin_files.h"
#include "engine/training/mpi_api.h"
#include "engine/training/star_collective.h"

namespace sr::train {
namespace {

constexpr int kMostRanks = 65536;

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
                                    "one of several; start them with mpirun or srun --mpi=pmix",
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
  ranks.size = v.number(size, 1, kMostRanks);
  ranks.rank = v.number(rank, 0, kMostRanks);
  ranks.local_rank = v.number(local_rank, 0, kMostRanks, 0);
  if (ranks.rank >= ranks.size)
    throw Error(Status::bad_usage, fmt::format("{}={} and {}={} in the environment: ranks run from 0 to {}; the "
                                               "launcher of several processes sets both, unset them to run a single "
                                               "one",
                                               rank, ranks.rank, size, ranks.size, ranks.size - 1));
  return ranks;
}

// A launcher that brings no MPI may start a single process.
Ranks single_process(const Variables& v, const char* size, const char* way_to_one) {
  if (const int n = v.number(size, 1, kMostRanks); n > 1)
    throw Error(Status::bad_usage,
                fmt::format("{}={} in the environment: this process was started as one of several, and not by MPI, "
                            "which they need (torchrun has none); use mpirun -n {} srtrain ..., or srun --mpi=pmix "
                            "srtrain ... within a Slurm job, or {} to train in one process",
                            size, n, n, way_to_one));
  return {};
}

const mpi::Api& load_plugin() {
  std::string why_not = "libsrtrain_mpi.so is not beside this program";
  for (const std::filesystem::path& file : plugin_files("SRTRAIN_MPI_PLUGIN", "libsrtrain_mpi.so")) {
    std::error_code error;
    const bool is_there = file.has_parent_path() && std::filesystem::exists(file, error);
    if (file.has_parent_path() && !is_there) {
      if (std::getenv("SRTRAIN_MPI_PLUGIN")) why_not = fmt::format("{} does not exist", file.string());
      continue;
    }
    // Global: MPI opens plugins of its own, which look for its symbols.
    void* library = dlopen(file.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!library) {
      if (is_there) why_not = dlerror();
      continue;
    }
    const auto entry = reinterpret_cast<const mpi::Api* (*)(int)>(dlsym(library, "srtrain_mpi_api"));
    if (const mpi::Api* api = entry ? entry(mpi::kApiVersion) : nullptr) return *api;
    why_not = fmt::format("{} belongs to another version of srtrain", file.string());
    dlclose(library);
  }
  throw Error(Status::resource_error,
              fmt::format("several processes were started by MPI, and it cannot be used: {}; build srtrain where "
                          "libopenmpi-dev is installed",
                          why_not));
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
  constexpr const char* unset = "unset WORLD_SIZE";
  // Within another launcher's process torchrun starts several that all have that one's place.
  if (v.has("TORCHELASTIC_RUN_ID") && v.has("WORLD_SIZE")) return single_process(v, "WORLD_SIZE", unset);
  if (v.has("OMPI_COMM_WORLD_SIZE"))
    return place(v, "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_RANK");
  if (v.has("PMI_SIZE"))
    return place(v, "PMI_RANK", "PMI_SIZE", v.has("SLURM_LOCALID") ? "SLURM_LOCALID" : "MPI_LOCALRANKID");
  // A batch script has SLURM_PROCID and SLURM_NTASKS too; a process of a step alone has the step's number.
  const bool in_step = v.has("SLURM_STEP_ID") && v.has("SLURM_PROCID");
  // The number of processes is that of the step: SLURM_NTASKS alone may be the whole job's.
  const char* n_tasks = v.has("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  if (in_step && (v.has("PMIX_RANK") || v.has("PMI_RANK"))) return place(v, "SLURM_PROCID", n_tasks, "SLURM_LOCALID");
  if (v.has("WORLD_SIZE")) return single_process(v, "WORLD_SIZE", unset);
  if (in_step) return single_process(v, n_tasks, "srun --ntasks=1");
  return {};
}

std::unique_ptr<Collective> join(const Ranks& ranks) {
  if (ranks.size == 1) return std::make_unique<SingleProcess>();
  const mpi::Api& mpi = load_plugin();
  int rank = 0, size = 1;
  if (const char* trouble = mpi.start(&rank, &size)) throw Error(Status::resource_error, trouble);
  if (rank == ranks.rank && size == ranks.size) return std::make_unique<StarCollective>(mpi, rank, size);
  mpi.finish();
  throw Error(Status::resource_error,
              fmt::format("mpirun says that this process is rank {} of {}, libsrtrain_mpi.so says {} of {}; it was "
                          "built with another MPI than that mpirun's",
                          ranks.rank, ranks.size, rank, size));
}

int fair_share(const std::vector<Processors>& of_ranks, int rank) {
  const Processors& mine = of_ranks[rank];
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
  Processors& mine = of_ranks[collective.rank()];
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
