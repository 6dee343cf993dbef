// Ranks that add up their numbers, by NCCL (kernels/cuda/nccl_library.h).
#pragma once

#include "kernels/cuda/types.h"

struct ncclComm;

namespace sr::cuda {

using Communicator = ncclComm*;  // ncclComm_t
inline constexpr int kCommunicatorIdBytes = 128;

// NCCL is looked for when this is first called: null, or why there is none. Only after null may the others be called.
const char* communicator_missing();
// One rank makes the id, all ranks join with it, each with a device of its own in use.
Result make_communicator_id(char id[kCommunicatorIdBytes]);
Result join(const char id[kCommunicatorIdBytes], int rank, int n_ranks, Communicator* communicator);
void leave(Communicator communicator);
// values[i] = the sum of values[i] of all ranks.
Result all_reduce_floats(Communicator communicator, float* values, int64_t n, Stream stream);
Result all_reduce_doubles(Communicator communicator, double* values, int64_t n, Stream stream);

}  // namespace sr::cuda
