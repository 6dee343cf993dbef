// Which process of a run this one is. mpirun and Slurm's srun start the same command many times and tell each process
// its place in the environment; the processes speak MPI.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/training/collective.h"

namespace sr::train {

struct Ranks {
  int rank = 0, size = 1;
  int local_rank = 0;  // among those of this machine
};

// The value of a variable, null where it is not set.
using Environment = std::function<const char*(const char* name)>;

// What mpirun says (OMPI_COMM_WORLD_RANK and _SIZE, or PMI_RANK and PMI_SIZE), or else srun with an MPI (SLURM_PROCID,
// within a step, with PMIX_RANK or PMI_RANK). Neither: one process. docs/training.md has the variables. Throws
// Error{bad_usage} where what they say cannot be, and where torchrun, WORLD_SIZE set by hand or srun without an MPI
// started several.
Ranks ranks_of(const Environment& environment);

// Waits for the other processes. MPI is in a plugin (mpi_api.h), which several processes open: where SRTRAIN_MPI_PLUGIN
// says, else beside the program, in ../lib/srengine of it, and where the dynamic linker looks. Throws
// Error{resource_error} where there is none, or it does not find the ranks that the environment promises.
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
