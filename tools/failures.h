// One of many failed: a command over many files does what it can, and ends with a list of what it could not.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/status.h"

namespace sr {

struct Failure {
  std::filesystem::path file;
  Status status;
  std::string sentence;  // names the file
};

// Does the work of one file. What goes wrong with it is kept, and the others go on; an interruption ends them all and
// is thrown. Returns whether it was done.
bool attempt(std::vector<Failure>& failures, const std::filesystem::path& file, const std::function<void()>& work);

// The error that ends a command: `summary` and a sentence a line. Where there was but one file, its sentence is enough.
Error end_of_many(const std::vector<Failure>& failures, size_t n_files, Status status, const std::string& summary);

}  // namespace sr
