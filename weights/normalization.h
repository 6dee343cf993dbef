// The rule that gives a and b of x' = (x - a) / b.
//   none        a = 0, b = 1
//   scale       a = 0, b = by                                        "scale:4095"
//   zscore      a = mean, b = standard deviation of all voxels
//   foreground  a = 0, b = mean of the voxels above the volume's mean (tissue; background hardly moves it)
//   percentile  a = 0, b = the given percentile of all voxels         "percentile:99.5"
#pragma once

#include <string>

namespace sr {

struct Normalization {
  enum class Kind { none, scale, zscore, foreground, percentile } kind = Kind::none;
  double by = 1;  // scale: the divisor; percentile: 0 < by <= 100
  friend bool operator==(const Normalization&, const Normalization&) = default;
};

// "none", "scale:4095", "zscore", "foreground", "percentile:99.5". Throws WeightsError with the list of what there is.
Normalization parse_normalization(const std::string& text);
// "" where the rule's number makes sense, else what is wrong with it.
std::string check_normalization(const Normalization&);
std::string to_string(const Normalization&);

}  // namespace sr
