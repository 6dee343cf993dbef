// Ranks in a star, over MPI: rank 0 takes what each of the others sends, in the order of ranks, and answers all of
// them.
#pragma once

#include <string>
#include <vector>

#include "engine/training/collective.h"
#include "engine/training/mpi_api.h"

namespace sr::train {

// Sums are the same bits on every rank and in every run: rank 0 adds in double, its own number first, then those of
// ranks 1, 2, ..., and sends the result back.
//
// Every call is one exchange: a frame from each rank to rank 0, then one from it to each. A rank that fails sends its
// sentence as its frame, or rank 0 as its answer, so that a failure comes where the others wait for it in any case.
class StarCollective final : public Collective {
 public:
  // Of an MPI that was started. Its end is the destructor's: where a message could not be passed it takes all other
  // ranks with it, for these may wait for one that is not there.
  StarCollective(const mpi::Api& mpi, int rank, int size);
  ~StarCollective() override;
  StarCollective(const StarCollective&) = delete;
  StarCollective& operator=(const StarCollective&) = delete;
  int rank() const override { return rank_; }
  int size() const override { return size_; }
  void sum(double* values, int64_t n) override;
  void sum(float* values, int64_t n) override;
  void broadcast(void* bytes, int64_t n) override;
  void finish() override;
  bool fail(Status status, const std::string& sentence) override;

 private:
  struct Peer {          // of rank 0
    bool waits = false;  // its frame of this exchange is in, and it has no answer yet
    bool lost = false;
  };
  // All n bytes, however long that takes; of none, nothing moves. Throw Error{resource_error} with MPI's reason.
  void send(int to, const void* bytes, int64_t n);
  void receive(int from, void* bytes, int64_t n);
  void check(const char* trouble);
  template <class T>
  void sum_block(T* values, int64_t n);
  void put(int to, const void* bytes, int64_t n);
  void take(int from, void* bytes, int64_t n);
  void answer(const void* bytes, int64_t n);
  void drain(int from);
  void end_all(Status status);
  [[noreturn]] void lost(int other, const std::string& why);

  const mpi::Api& mpi_;
  int rank_, size_;
  std::vector<Peer> peers_;  // by rank
  bool ended_ = false;       // every rank knows
  bool broken_ = false;      // a message could not be passed
};

}  // namespace sr::train
