// Convolutions that tests and benchmarks share.
#pragma once

#include <string>
#include <vector>

#include "kernels/conv3d.h"

namespace sr {

struct ConvCase {
  Size3 size;
  int ci, co;
  int kernel;     // 1, 3, 5 or 9
  bool prologue;  // batch-norm and an activation on the way in
  bool bias;
  bool prelu = false;  // PReLU instead of ELU
};

inline std::string to_string(const ConvCase& c) {
  return std::to_string(c.size.d) + "x" + std::to_string(c.size.h) + "x" + std::to_string(c.size.w) + " " +
         std::to_string(c.ci) + "->" + std::to_string(c.co) + " kernel " + std::to_string(c.kernel) +
         (c.prologue ? c.prelu ? " prologue PReLU" : " prologue" : "") + (c.bias ? " bias" : "");
}

inline std::string to_string(ConvAlgorithm a) {
  return a == ConvAlgorithm::direct ? "direct" : a == ConvAlgorithm::winograd2 ? "winograd2" : "winograd4";
}

inline std::vector<ConvAlgorithm> all_algorithms() {
  return {ConvAlgorithm::direct, ConvAlgorithm::winograd2, ConvAlgorithm::winograd4};
}

// The layers of a network with growth rate k, each kind once, at the given size.
inline std::vector<ConvCase> layers_of_network(Size3 size, int k) {
  return {
      {size, 1, 2 * k, 3, false, false},      // stem
      {size, 2 * k, k, 3, true, false},       // first unit
      {size, 4 * k, k, 3, true, false},       // third unit, and the second half of a bottleneck
      {size, 5 * k, 4 * k, 1, true, false},   // first half of a bottleneck
      {size, 18 * k, 2 * k, 1, false, true},  // compressor before the fourth block of u = 4
      {size, 24 * k, 1, 1, false, false},     // combination of b = 4, u = 4
      {size, 24 * k, 8 * k, 1, false, false}, {size, 8 * k, 1, 3, true, true},  // reconstruction of "-r"
  };
}

// The layers of the paper's baselines (docs/spec.md section 5), each kind once.
inline std::vector<ConvCase> layers_of_baselines(Size3 size) {
  return {
      {size, 1, 56, 5, false, true},       {size, 56, 12, 1, true, true, true},
      {size, 12, 12, 3, true, true, true}, {size, 12, 56, 1, true, true, true},
      {size, 56, 1, 9, true, true, true},  // FSRCNN
      {size, 1, 64, 9, false, true},       {size, 64, 64, 3, true, false, true},
      {size, 64, 1, 9, true, true, true},  // SRResNet
      {size, 84, 12, 3, true, false},      {size, 408, 96, 1, false, false},
      {size, 96, 96, 3, true, false},      {size, 96, 1, 3, true, false},  // SRDenseNet
  };
}

// Odd sizes and odd channel counts: nothing is a multiple of a tile, a vector or a register block.
inline std::vector<ConvCase> odd_cases() {
  std::vector<ConvCase> cases;
  for (const Size3 size : {Size3{1, 1, 1}, Size3{1, 1, 7}, Size3{1, 9, 1}, Size3{5, 1, 1}, Size3{2, 3, 8},
                           Size3{3, 2, 15}, Size3{4, 4, 16}, Size3{5, 9, 33}, Size3{13, 13, 11}, Size3{6, 11, 23}})
    for (const auto& [ci, co] : {std::pair<int, int>{1, 1}, {1, 5}, {7, 1}, {5, 3}, {4, 4}, {24, 12}, {13, 30}})
      for (const int kernel : {1, 3})
        for (const int options : {0, 1, 2, 3})
          cases.push_back({size, ci, co, kernel, (options & 1) != 0, (options & 2) != 0});
  return cases;
}

// What the baselines have beside mDCSRN's: large kernels of one channel in or out, and PReLU.
inline std::vector<ConvCase> baseline_cases() {
  std::vector<ConvCase> cases;
  for (const int kernel : {5, 9}) {
    for (const Size3 size : {Size3{1, 1, 1}, Size3{2, 3, 8}, Size3{5, 9, 33}, Size3{17, 26, 11}}) {
      for (const auto& [ci, co] : {std::pair<int, int>{1, 1}, {1, 5}, {3, 1}, {2, 3}})
        cases.push_back({size, ci, co, kernel, ci > 1, co > 1, ci > 1});
      cases.push_back({size, 2, 1, kernel, true, true});
    }
    cases.push_back({{9, 10, 22}, 1, 56, kernel, false, true});
    cases.push_back({{9, 10, 22}, 56, 1, kernel, true, true, true});
  }
  for (const Size3 size : {Size3{2, 3, 8}, Size3{6, 11, 23}})
    for (const int kernel : {1, 3})
      for (const auto& [ci, co] : {std::pair<int, int>{7, 1}, {5, 3}, {12, 12}, {64, 64}})
        cases.push_back({size, ci, co, kernel, true, false, true});
  return cases;
}

}  // namespace sr
