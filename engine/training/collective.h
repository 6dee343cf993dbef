// What the processes of one training run add up together, and how they end together. A run on one process needs none
// of it: SingleProcess.
#pragma once

#include <cstdint>
#include <string>

#include "engine/base/status.h"

namespace sr::train {

// A rank other than this one has failed or is gone, and the run with it. `said`: rank 0 gives the user the sentence,
// so that it stands there once.
struct OtherRankFailed : Error {
  OtherRankFailed(Status code, const std::string& sentence, bool is_said) : Error(code, sentence), said(is_said) {}
  bool said;
};

class Collective {
 public:
  virtual ~Collective() = default;
  virtual int rank() const = 0;  // 0 .. size() - 1
  virtual int size() const = 0;
  // values[i] = the sum of values[i] of all ranks, the same bits on each. Every rank calls with the same n. Like
  // broadcast and finish they throw OtherRankFailed, with the status of the rank that failed; resource_error where it
  // is gone.
  virtual void sum(double* values, int64_t n) = 0;
  virtual void sum(float* values, int64_t n) = 0;
  // Rank 0's bytes on every rank.
  virtual void broadcast(void* bytes, int64_t n) = 0;

  // The end of a run; every rank calls one of the two. finish: all is done; returns when every rank says so.
  virtual void finish() = 0;
  // This rank cannot go on, and no other shall: takes part in what they wait for, as a failure. Returns whether rank 0
  // tells the user in place of this rank.
  virtual bool fail(Status status, const std::string& sentence) = 0;
};

class SingleProcess final : public Collective {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void sum(double*, int64_t) override {}
  void sum(float*, int64_t) override {}
  void broadcast(void*, int64_t) override {}
  void finish() override {}
  bool fail(Status, const std::string&) override { return false; }
};

}  // namespace sr::train
