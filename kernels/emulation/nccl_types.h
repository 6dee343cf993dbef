// The part of nccl.h that the backend uses, with NVIDIA's names; what NVIDIA has as enumerations are numbers here, as
// in kernels/cuda/nccl_library.h. Behind it is a stand-in (nccl.cpp).
#pragma once

#include "kernels/emulation/runtime_api.h"

struct ncclUniqueId {
  char internal[128];
};
struct ncclComm;
using ncclComm_t = ncclComm*;

inline constexpr int ncclSuccess = 0;                // ncclResult_t
inline constexpr int ncclFloat = 7, ncclDouble = 8;  // ncclDataType_t

int ncclGetUniqueId(ncclUniqueId* id);
int ncclCommInitRank(ncclComm_t* comm, int n_ranks, ncclUniqueId id, int rank);
int ncclAllReduce(const void* send, void* receive, size_t count, int type, int op, ncclComm_t comm,
                  cudaStream_t stream);
int ncclCommDestroy(ncclComm_t comm);
const char* ncclGetErrorString(int result);
