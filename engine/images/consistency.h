// Data consistency: what the scanner measured stays as it was measured. After the network, the centre of k-space of the
// result is replaced by (or blended with) that of the input; only frequencies the scanner never saw are the network's.
#pragma once

#include "engine/images/kspace.h"

namespace sr {

// result += weight * (measured - measured_part(result)).
class DataConsistency {
 public:
  // measured: measured_part() of the scan on the grid of the results; low: the grid that was measured. weight: 1
  // replaces, less blends; 0 to 1.
  DataConsistency(Volume measured, Size3 low, double weight);
  void apply(Volume& result) const;

 private:
  Volume measured_;
  Size3 low_;
  double weight_;
};

}  // namespace sr
