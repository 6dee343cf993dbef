// Scans in, restored scans out: one queue in which a volume is read, another restored and a third written at the same
// time.
#pragma once

#include <cstddef>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <vector>

#include "engine/nifti/nifti.h"
#include "engine/pipeline.h"

namespace sr {

// One scan of a call. Empty names are files that are not wanted.
struct ScanRequest {
  ScanName input, output;
  ScanName change;                   // result minus interpolated input, in the input's units
  ScanName uncertainty;              // standard deviation over the flips, in the input's units
  std::optional<Measured> measured;  // with `upsample`, the native grid is what was measured; its factors are not used
};

// What was done to one scan; the program writes it as the JSON sidecar.
struct RestoreReport {
  ScanName input, output;
  Size3 input_size{}, output_size{};
  int64_t n_volumes = 0;
  int n_patches = 0;  // of one volume
  BatchNorm batch_norm = BatchNorm::patch;
  std::optional<double> consistency_weight;  // where what was measured was put back
  std::vector<Intensity> intensities;        // of each volume
  int64_t n_nonfinite = 0;                   // voxels of the scan
  int64_t n_nonfinite_result = 0;            // voxels that the network made of finite ones
  StageTimes seconds;                        // all volumes together
  std::vector<std::string> warnings;
};

// A request whose scan is open: the reader that checked the file is the one that reads it.
struct OpenScan {
  ScanRequest request;
  ScanReader reader;
};

// What the caller does with scan i of several. What any of the first two throws is the scan's failure, as is what goes
// wrong with its files; it is thrown by the future that `done` is given, and the scans behind it go on.
struct ScanCalls {
  // On a thread of its own, while the scans before are worked on.
  std::function<OpenScan(size_t i)> open;
  // Its turn has come. What is returned is told how far it is, until it is restored; it may be empty.
  std::function<Progress(size_t i)> progress;
  // In the order of the scans, when the scan behind it is restored as well: get() waits until it is written. What is
  // thrown here ends the queue, and files that are not whole are removed.
  std::function<void(size_t i, std::future<RestoreReport> written)> done;
};

// Reads, restores and writes n scans, volume by volume. Each file appears whole or not at all. Besides what restoring
// takes, one volume that was read ahead is in memory, and the results of one volume that are being written (of two
// between the last volume of a scan and the first one of the next). Threads as far as the machine gives them.
void restore_scans(Restorer& restorer, size_t n, const ScanCalls& calls);

// One scan. Throws what goes wrong with it.
RestoreReport restore_scan(Restorer& restorer, const ScanRequest& request, const Progress& progress);

}  // namespace sr
