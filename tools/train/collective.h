// What the processes of one training run add up together. A run on one process needs none of it: SingleProcess.
#pragma once

#include <cstdint>

namespace sr::train {

class Collective {
 public:
  virtual ~Collective() = default;
  virtual int rank() const = 0;  // 0 .. size() - 1
  virtual int size() const = 0;
  // values[i] = the sum of values[i] of all ranks, the same bits on each. Every rank calls with the same n. Throw
  // Error{device_trouble} where a rank is gone.
  virtual void sum(double* values, int64_t n) = 0;
  virtual void sum(float* values, int64_t n) = 0;
  // Rank 0's bytes on every rank.
  virtual void broadcast(void* bytes, int64_t n) = 0;
};

class SingleProcess final : public Collective {
 public:
  int rank() const override { return 0; }
  int size() const override { return 1; }
  void sum(double*, int64_t) override {}
  void sum(float*, int64_t) override {}
  void broadcast(void*, int64_t) override {}
};

}  // namespace sr::train
