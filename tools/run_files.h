// The files of a call of `srengine run`: what is read, where each result goes, and what no result may land on.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/scan_queue.h"

namespace sr {

// As they were named on the command line; empty where they were not.
struct RunFiles {
  std::filesystem::path weights;
  std::vector<std::filesystem::path> scans;
  std::filesystem::path output, change, uncertainty, json;
};

// Each scan with its results: beside it, in a folder under their default names, or in the file asked for. Throws
// Error{bad_usage} where a name does not serve, or where a result would land on a file that is read or on another one.
std::vector<ScanRequest> requests_of(const RunFiles& files);

// Makes the folders that are asked for and not there. Throws Error{bad_output}.
void make_result_folders(const RunFiles& files);

}  // namespace sr
