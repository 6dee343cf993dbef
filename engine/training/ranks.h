// Which process of a run this one is. torchrun, Slurm's srun and mpirun start the same command many times and tell each
// process its place in the environment.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/training/collective.h"

namespace sr::train {

struct Ranks {
  enum class Transport { none, mpi, tcp };
  int rank = 0, size = 1;
  int local_rank = 0;  // among those of this machine
  Transport transport = Transport::none;
  // Of tcp, where rank 0 listens: "node003", 29500.
  std::string address;
  int port = 0;
  std::string run;  // the launcher's name for this run: no two at the same time have the same
};

// The value of a variable, null where it is not set.
using Environment = std::function<const char*(const char* name)>;

// The innermost launcher is the one that counts: torchrun (RANK, WORLD_SIZE), then mpirun (OMPI_COMM_WORLD_RANK and
// _SIZE, or PMI_RANK and PMI_SIZE), then srun (SLURM_PROCID, within a step). None: one process. docs/training.md has
// the variables. Throws Error{bad_usage} where what they say cannot be.
Ranks ranks_of(const Environment& environment);

// The first host of Slurm's way of writing many: "gpu[003-010,12],login1" gives "gpu003".
std::string first_host(const std::string& hosts);

// Waits for the other processes. Throws Error{device_trouble} where they do not come, or where there is no MPI.
std::unique_ptr<Collective> join(const Ranks& ranks);

// A rank's machine and the processors of it that it may use.
struct Processors {
  static constexpr int n_words = 32;
  double machine = 0;          // ranks of one machine have the same
  double words[n_words] = {};  // bit p of word w: processor 32 w + p. Whole numbers, to be summed exactly
};

// How many threads a rank shall have where those of one machine share out its processors: each processor is divided
// among the ranks that may use it, so that ranks bound to processors of their own keep all of these. At least 1.
int fair_share(const std::vector<Processors>& of_ranks, int rank);

// That of this process; every rank calls it.
int fair_share(Collective& collective);

}  // namespace sr::train
