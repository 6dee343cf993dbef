#include "engine/images/consistency.h"

#include <fmt/core.h>

#include <utility>

#include "engine/base/status.h"

namespace sr {

DataConsistency::DataConsistency(Volume measured, Size3 low, double weight)
    : measured_(std::move(measured)), low_(low), weight_(weight) {
  if (!(weight >= 0 && weight <= 1))
    throw Error(Status::bad_usage, fmt::format("a data consistency weight of {} is not between 0 and 1", weight));
}

void DataConsistency::apply(Volume& result) const {
  const Volume here = measured_part(result, result.size, low_);
  const float w = static_cast<float>(weight_);
  for (size_t i = 0; i < result.data.size(); i++) result.data[i] += w * (measured_.data[i] - here.data[i]);
}

}  // namespace sr
