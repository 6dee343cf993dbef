// What is wrong with a weights file or a checkpoint: one sentence that names the file, what was found and what to do.
#pragma once

#include <stdexcept>

namespace sr {

struct WeightsError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace sr
