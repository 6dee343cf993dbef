// A stand-in for NCCL, for ranks that are threads of one process: sums are taken in the order of the ranks.
#include <condition_variable>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "kernels/emulation/nccl_types.h"

namespace sr::emulation {
namespace {

// The ranks of one id. They meet at every sum.
class Group {
 public:
  explicit Group(int n_ranks) : values_(static_cast<size_t>(n_ranks)) {}

  template <class T>
  void all_reduce(int rank, const T* send, T* receive, size_t n) {
    values_[rank] = send;
    meet();
    std::vector<T> sum(n);
    for (const void* of_rank : values_)
      for (size_t i = 0; i < n; i++) sum[i] = static_cast<T>(sum[i] + static_cast<const T*>(of_rank)[i]);
    meet();  // all have read before one writes
    std::memcpy(receive, sum.data(), n * sizeof(T));
  }

  void meet() {
    std::unique_lock lock(mutex_);
    const size_t round = round_;
    if (++waiting_ == values_.size()) {
      waiting_ = 0;
      round_++;
      all_here_.notify_all();
    } else {
      all_here_.wait(lock, [&] { return round_ != round; });
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_here_;
  size_t waiting_ = 0, round_ = 0;
  std::vector<const void*> values_;
};

}  // namespace
}  // namespace sr::emulation

// A rank's share in its group.
struct ncclComm {
  std::shared_ptr<sr::emulation::Group> group;
  int rank;
};

using sr::emulation::Group;

int ncclGetUniqueId(ncclUniqueId* id) {
  static int next = 0;
  std::memset(id, 0, sizeof *id);
  std::memcpy(id->internal, &next, sizeof next);
  next++;
  return ncclSuccess;
}

int ncclCommInitRank(ncclComm_t* comm, int n_ranks, ncclUniqueId id, int rank) {
  static std::mutex mutex;
  static std::map<int, std::weak_ptr<Group>> groups;
  int number = 0;
  std::memcpy(&number, id.internal, sizeof number);
  std::shared_ptr<Group> group;
  {
    const std::lock_guard lock(mutex);
    group = groups[number].lock();
    if (!group) groups[number] = group = std::make_shared<Group>(n_ranks);
  }
  *comm = new ncclComm{group, rank};
  group->meet();
  return ncclSuccess;
}

int ncclAllReduce(const void* send, void* receive, size_t count, int type, int, ncclComm_t comm, cudaStream_t) {
  if (type == ncclDouble)
    comm->group->all_reduce(comm->rank, static_cast<const double*>(send), static_cast<double*>(receive), count);
  else
    comm->group->all_reduce(comm->rank, static_cast<const float*>(send), static_cast<float*>(receive), count);
  return ncclSuccess;
}

int ncclCommDestroy(ncclComm_t comm) {
  delete comm;
  return ncclSuccess;
}

const char* ncclGetErrorString(int) {
  return "an error";
}
