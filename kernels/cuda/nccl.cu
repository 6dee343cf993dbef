#include "kernels/cuda/nccl.h"

#include <cstring>

#include "kernels/cuda/check.h"
#include "kernels/cuda/nccl_library.h"

namespace sr::cuda {
namespace {

const NcclLibrary& nccl() {
  const char* why_not = nullptr;
  return *nccl_library(&why_not);
}

Result check_nccl(int result, const char* what) {
  return result == kNcclSuccess ? Result::ok : fail(what, nccl().error_string(result));
}

Result all_reduce(Communicator communicator, void* values, int64_t n, int type, Stream stream) {
  return check_nccl(nccl().all_reduce(values, values, static_cast<size_t>(n), type, kNcclSum, communicator, stream),
                    "adding up over ranks by NCCL");
}

}  // namespace

const char* communicator_missing() {
  const char* why_not = nullptr;
  return nccl_library(&why_not) ? nullptr : why_not;
}

Result make_communicator_id(char id[kCommunicatorIdBytes]) {
  NcclId made;
  const Result r = check_nccl(nccl().get_unique_id(&made), "NCCL's id");
  std::memcpy(id, made.internal, sizeof made.internal);
  return r;
}

Result join(const char id[kCommunicatorIdBytes], int rank, int n_ranks, Communicator* communicator) {
  NcclId shared;
  std::memcpy(shared.internal, id, sizeof shared.internal);
  return check_nccl(nccl().init_rank(communicator, n_ranks, shared, rank), "joining the other ranks by NCCL");
}

void leave(Communicator communicator) {
  nccl().destroy(communicator);
}

Result all_reduce_floats(Communicator communicator, float* values, int64_t n, Stream stream) {
  return all_reduce(communicator, values, n, kNcclFloat, stream);
}

Result all_reduce_doubles(Communicator communicator, double* values, int64_t n, Stream stream) {
  return all_reduce(communicator, values, n, kNcclDouble, stream);
}

}  // namespace sr::cuda
