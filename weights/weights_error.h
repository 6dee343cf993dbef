// What is wrong with a weights file or a checkpoint: one sentence that names the file, what was found and what to do.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace sr {

struct WeightsError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// A file that cannot be written where it should be: nothing is wrong with what would have been in it.
struct NotWritten : WeightsError {
  using WeightsError::WeightsError;
};

// 'name' as a sentence may show it: control characters become '?', and what is longer than 80 characters is cut. Files
// hold whatever bytes they like for names.
std::string shown(std::string_view name);

// "'a', 'b', 'c' and 5 more".
std::string shown_list(const std::vector<std::string>& names);

}  // namespace sr
