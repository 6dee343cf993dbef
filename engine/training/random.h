// Random numbers that are a function of their place alone, the same on every machine: SplitMix64 (Steele, Lea, Flood,
// "Fast Splittable Pseudorandom Number Generators", 2014), started from a seed and a stream number.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>
#include <vector>

#include "engine/base/lattice_noise.h"

namespace sr::train {

class Random {
 public:
  Random(uint64_t seed, uint64_t stream) : state_(seed) { state_ = next() ^ (stream * 0x9e3779b97f4a7c15u); }
  uint64_t next() {
    const uint64_t bits = mix_bits(state_);
    state_ += 0x9e3779b97f4a7c15u;
    return bits;
  }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }                       // [0, 1)
  int64_t below(int64_t n) { return static_cast<int64_t>(uniform() * static_cast<double>(n)); }  // 0 .. n - 1
  bool coin() { return (next() >> 63) != 0; }
  double normal() {  // Box, Muller
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }
  template <class T>
  void shuffle(std::vector<T>& v) {
    for (size_t i = v.size(); i > 1; i--) std::swap(v[i - 1], v[below(static_cast<int64_t>(i))]);
  }

 private:
  uint64_t state_;
};

}  // namespace sr::train
