// Scans as training sees them: degraded once, cut into random patches, in an order that a seed decides.
#pragma once

#include <array>
#include <filesystem>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/volume.h"
#include "engine/training/data.h"
#include "kernels/patch.h"

namespace sr::train {

// One scan file. A subject is in one part of the split alone.
struct Subject {
  std::string name;  // the file's name, of the high-resolution scan
  std::filesystem::path high;
  std::optional<std::filesystem::path> low;  // of a pair: on the same grid; without, low is made of high
};

struct SkippedScan {
  std::filesystem::path path;
  std::string reason;
};

struct SubjectList {
  std::vector<Subject> usable;  // by name
  std::vector<SkippedScan> skipped;
};

// `where` is a folder (its scans, not those of folders within), one scan, or a text file: a path a line, or a
// low-resolution and a high-resolution one with a tab between; relative to the file; # begins a comment. Every scan is
// read once: one that cannot be, is smaller than `patch` on some axis, or holds one value everywhere, is skipped.
// Throws Error{bad_input} where none is left.
SubjectList find_subjects(const std::filesystem::path& where, int patch);

// Names, each in one part.
struct Split {
  std::vector<std::string> train, validation, test;
};

// validation and test: a share of the subjects ("0.1", drawn by the seed, at least one where it is above 0), or a text
// file with a name a line. Throws Error{bad_usage} for names that are not there, with the reason where they are among
// `skipped`, and where nobody is left to train on.
Split split_subjects(const std::vector<Subject>& subjects, const std::string& validation, const std::string& test,
                     uint64_t seed, const std::vector<SkippedScan>& skipped = {});

// Axis a of a patch (i, j, k) lies along axis order[a] of its scan.
using AxisOrder = std::array<int, 3>;

// A scan ready to be cut: what it should be, and what is known of it however k-space is cut.
struct PreparedScan {
  struct Low {
    Factors factors;  // along the scan's axes
    Volume volume;
    Intensity intensity;  // of this volume, by the network's rule; the target is normalised with it as well
    double foreground;    // mean of the voxels above the volume's mean: tissue
  };
  // A way to take patches. By `factors` they are cut along their own axes.
  struct View {
    size_t low;
    AxisOrder order;
    Factors factors;
  };
  Volume high;
  std::vector<Low> low;
  std::vector<View> views;  // each patch draws one
  int64_t bytes() const;
};

PreparedScan prepare_scan(const Subject& subject, const DataOptions& options);

// Prepared scans by number, the ones used last: as many as `max_bytes` hold, but a group of BatchSource's at least.
class ScanCache {
 public:
  ScanCache(std::vector<Subject> subjects, const DataOptions& options, int64_t max_bytes);
  std::shared_ptr<const PreparedScan> get(size_t subject);
  int64_t bytes() const;

 private:
  std::vector<Subject> subjects_;
  DataOptions options_;
  int64_t max_bytes_, bytes_ = 0;
  mutable std::mutex mutex_;
  std::list<size_t> recent_;  // most recent first
  std::map<size_t, std::shared_ptr<const PreparedScan>> scans_;
};

// Batches as a pure function of seed and step, whatever the threads and the memory: so that a run resumes to the same
// bits. An epoch visits every subject in an order of its own and takes options.patches_per_subject patches of each;
// those of kGroup subjects are shuffled, so that no more scans than these need be in memory at a time. A subject that
// options.favour names is visited so many times, as if it were as many subjects.
class BatchSource {
 public:
  static constexpr int kGroup = 8;

  // Throws Error{bad_usage} where the batch is no multiple of the number of ranks, for a favoured name that is none of
  // the subjects', and for a pair where options.axes would turn it.
  BatchSource(const std::vector<Subject>& subjects, const DataOptions& options, int rank, int n_ranks);
  ~BatchSource();
  // This rank's share of the batch. Steps are best asked for in order: the next ones are made ahead.
  Batch batch(int64_t step);
  // The subject of a sample, counted over all steps of all ranks. For tests.
  size_t subject_of(int64_t sample) const;

 private:
  Batch make(int64_t step);
  void add_sample(int64_t sample, Batch& batch, int place);

  std::vector<size_t> visits_;  // of an epoch, before they are shuffled
  DataOptions options_;
  int rank_, n_ranks_;
  ScanCache cache_;
  std::map<int64_t, std::future<Batch>> ahead_;
};

}  // namespace sr::train
