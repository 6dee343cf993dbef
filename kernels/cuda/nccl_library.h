// NCCL without linking it, and without its header, which few machines have: the functions below and the values of their
// constants have been the same since NCCL 2.0 (2017).
#pragma once

#include <cstddef>

#include "kernels/cuda/nccl.h"
#include "kernels/cuda/portability.h"
#if !defined(__CUDACC__) && !defined(__CUDA__)
#include "kernels/emulation/nccl_types.h"
#endif

namespace sr::cuda {

#if defined(__CUDACC__) || defined(__CUDA__)
struct NcclId {  // ncclUniqueId
  char internal[kCommunicatorIdBytes];
};
#else
using NcclId = ncclUniqueId;
#endif

inline constexpr int kNcclSuccess = 0;                 // ncclResult_t
inline constexpr int kNcclFloat = 7, kNcclDouble = 8;  // ncclDataType_t
inline constexpr int kNcclSum = 0;                     // ncclRedOp_t

struct NcclLibrary {
  int (*get_unique_id)(NcclId* id);
  int (*init_rank)(Communicator* comm, int n_ranks, NcclId id, int rank);
  int (*all_reduce)(const void* send, void* receive, size_t count, int type, int op, Communicator comm,
                    cudaStream_t stream);
  int (*destroy)(Communicator comm);
  const char* (*error_string)(int result);
};

// The library, opened when it is first asked for, or null and one clause that says why not. From any thread. In the
// plugin it is NVIDIA's; under emulation a stand-in (kernels/emulation/nccl.cpp).
const NcclLibrary* nccl_library(const char** why_not);

}  // namespace sr::cuda
