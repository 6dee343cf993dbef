// What the tests of the critic's operations share: sizes, numbers, and how far off a result is.
#pragma once

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "kernels/strided_conv3d.h"
#include "tests/support/catch.h"

namespace sr {

template <class T>
std::vector<T> random_numbers(int64_t n, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<T> v(static_cast<size_t>(n));
  for (T& x : v) x = static_cast<T>(normal(generator));
  return v;
}

inline const StridedConv kConvs[] = {
    {1, 3, 3, 1, {5, 4, 7}}, {3, 5, 3, 2, {5, 4, 7}},     {2, 9, 3, 2, {6, 6, 6}},    {4, 2, 3, 1, {1, 1, 1}},
    {5, 3, 3, 2, {1, 2, 1}}, {17, 13, 3, 1, {3, 9, 2}},   {37, 1, 1, 1, {1, 1, 1}},   {300, 270, 1, 1, {1, 1, 1}},
    {3, 2, 1, 2, {5, 3, 4}}, {11, 26, 3, 2, {9, 31, 33}}, {2, 3, 3, 1, {13, 30, 29}},
};

inline std::string named(const StridedConv& c) {
  return std::to_string(c.ci) + " to " + std::to_string(c.co) + ", size " + std::to_string(c.size) + ", stride " +
         std::to_string(c.stride) + ", width " + std::to_string(c.in.w);
}

// ||a - b|| / ||b||
template <class A, class B>
double relative_error(const std::vector<A>& a, const std::vector<B>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); i++) {
    const double d = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    difference += d * d;
    norm += static_cast<double>(b[i]) * static_cast<double>(b[i]);
  }
  return std::sqrt(difference / norm);
}

}  // namespace sr
