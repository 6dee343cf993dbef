// MPI, through a plugin (engine/training/mpi_api.h) that is opened where mpirun has started several processes.
#pragma once

#include <memory>

#include "engine/training/ranks.h"
#include "engine/training/star_collective.h"

namespace sr::train {

// The plugin is looked for where SRTRAIN_MPI_PLUGIN says, else beside the program, in ../lib/srengine of it, and where
// the dynamic linker looks. Throws Error{device_trouble} where there is none, or it does not find the ranks that the
// environment promises.
std::unique_ptr<Link> open_mpi_link(const Ranks& ranks);

}  // namespace sr::train
