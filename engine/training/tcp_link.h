// Rank 0 listens, the others come: for launchers that bring no MPI. The port is for the network of a cluster: who can
// reach it and knows the run could take a rank's place.
#pragma once

#include <chrono>
#include <memory>

#include "engine/training/ranks.h"
#include "engine/training/star_collective.h"

namespace sr::train {

// Throws Error{device_trouble} where the others do not come, or rank 0 is not reached, in so many seconds. Long, for a
// cluster's machines may be minutes apart in starting.
std::unique_ptr<Link> open_tcp_link(const Ranks& ranks, std::chrono::milliseconds patience = std::chrono::minutes(5));

}  // namespace sr::train
