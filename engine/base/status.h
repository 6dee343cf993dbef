// Outcomes, as the program's exit codes and as the C interface's status (docs/cli.md lists both).
#pragma once

#include <stdexcept>
#include <string>

namespace sr {

enum class Status {
  ok = 0,
  some_inputs_failed = 1,
  bad_usage = 2,
  bad_input = 3,    // a scan that cannot be read or used
  bad_weights = 4,  // a weights file or checkpoint that cannot be used
  bad_output = 5,   // a result that cannot be written
  resource_error = 6,
  interrupted = 130,
};

// Inside the library errors are exceptions; srengine.h turns them into a status and a sentence.
struct Error : std::runtime_error {
  Error(Status s, const std::string& sentence) : std::runtime_error(sentence), status(s) {}
  Status status;
};

}  // namespace sr
