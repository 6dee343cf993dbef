// Ranks in a star: rank 0 takes what each of the others sends, in the order of ranks, and answers all of them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/training/collective.h"

namespace sr::train {

// Rank 0's wires to each of the others; theirs to it. What MPI and TCP differ in.
class Link {
 public:
  virtual ~Link() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  // All n bytes, in the pieces in which the other side asks for them, however long that takes; of none, nothing moves.
  // Throw Error{device_trouble} with a clause that says why it cannot be.
  virtual void send(int to, const void* bytes, int64_t n) = 0;
  virtual void receive(int from, void* bytes, int64_t n) = 0;
};

// Sums are the same bits on every rank and in every run: rank 0 adds in double, its own number first, then those of
// ranks 1, 2, ..., and sends the result back.
//
// Every call is one exchange: a frame from each rank to rank 0, then one from it to each. A rank that fails sends its
// sentence as its frame, or rank 0 as its answer, so that a failure comes where the others wait for it in any case.
class StarCollective final : public Collective {
 public:
  explicit StarCollective(std::unique_ptr<Link> link);
  int rank() const override { return link_->rank(); }
  int size() const override { return link_->size(); }
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
  template <class T>
  void sum_block(T* values, int64_t n);
  void put(int to, const void* bytes, int64_t n);
  void take(int from, void* bytes, int64_t n);
  void answer(const void* bytes, int64_t n);
  void drain(int from);
  void end_all(Status status);
  [[noreturn]] void lost(int other, const std::string& why);

  std::unique_ptr<Link> link_;
  std::vector<Peer> peers_;  // by rank
  bool ended_ = false;       // every rank knows
};

}  // namespace sr::train
