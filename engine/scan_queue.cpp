#include "engine/scan_queue.h"

#include <fmt/core.h>

#include <array>
#include <cmath>
#include <exception>
#include <memory>
#include <utility>

#include "engine/base/timed.h"

namespace sr {
namespace {

// Of a voxel of the output grid, as the affine has them.
std::array<double, 3> voxel_edges_mm(const ScanInfo& info, Size3 grid) {
  const auto& m = info.affine();
  const std::array<double, 3> change{double(info.size.w) / grid.w, double(info.size.h) / grid.h,
                                     double(info.size.d) / grid.d};
  const std::string unit = info.space_unit();
  const double mm = unit == "um" ? 1e-3 : unit == "m" ? 1e3 : 1;
  std::array<double, 3> edges;
  for (size_t axis = 0; axis < 3; axis++)
    edges[axis] = std::hypot(m[0][axis], m[1][axis], m[2][axis]) * change[axis] * mm;
  return edges;
}

// One volume of a scan, as read.
struct VolumeRead {
  Volume volume;
  int64_t n_nonfinite = 0;
  double seconds = 0;
};

VolumeRead read_volume(ScanReader& reader, int64_t t) {
  VolumeRead read;
  read.volume = timed(read.seconds, [&] { return reader.read(t, &read.n_nonfinite); });
  return read;
}

// A scan in work: what is read, what is written, what is reported.
class ScanInWork {
 public:
  // Makes the files of its results, under other names.
  ScanInWork(OpenScan scan, Restorer& restorer);

  // Restores volume t. Progress is that of the scan.
  RestoredVolume restore(int t, VolumeRead read, const Progress& progress);
  // The next volume of the results.
  void write(const RestoredVolume& restored);
  // The results appear.
  RestoreReport finish();

  ScanReader& reader() { return scan_.reader; }
  int n_volumes() const { return static_cast<int>(scan_.reader.info().n_volumes); }

 private:
  ScanWriter open(const ScanName& name, OutputType type, const char* what) const;
  void gather_warnings();

  OpenScan scan_;
  Restorer& restorer_;
  Size3 grid_;  // of the results
  std::optional<ScanWriter> result_, change_, uncertainty_;
  RestoreReport report_;
  std::vector<std::string> notes_;  // warnings of the work itself
  std::string unlike_;              // how it differs from what the weights were trained on
};

ScanInWork::ScanInWork(OpenScan scan, Restorer& restorer) : scan_(std::move(scan)), restorer_(restorer) {
  const ScanRequest& request = scan_.request;
  const ScanInfo& info = scan_.reader.info();
  const RestoreOptions& options = restorer.options();
  grid_ = options.upsample ? high_grid(info.size, *options.upsample) : info.size;
  result_.emplace(open(request.output, options.type, ""));
  if (!request.change.empty()) change_.emplace(open(request.change, OutputType::float32, " change"));
  if (!request.uncertainty.empty())
    uncertainty_.emplace(open(request.uncertainty, OutputType::float32, " uncertainty"));

  report_.input = request.input, report_.output = request.output;
  report_.input_size = info.size, report_.output_size = grid_;
  report_.n_volumes = info.n_volumes;
  report_.n_patches = make_patch_grid(grid_, options.backend.patch, options.margin).count();
  report_.batch_norm = restorer.batch_norm();
  if (request.measured) report_.consistency_weight = request.measured->weight;
}

ScanWriter ScanInWork::open(const ScanName& name, OutputType type, const char* what) const {
  ScanWriter::Options out;
  out.type = type;
  out.description = fmt::format("srengine {} {}{}", SRENGINE_VERSION, restorer_.network().model.name(), what);
  out.grid = grid_;
  if (restorer_.options().compression_level) out.compression_level = restorer_.options().compression_level;
  return ScanWriter(name, scan_.reader, out);
}

RestoredVolume ScanInWork::restore(int t, VolumeRead read, const Progress& progress) {
  const std::string name = scan_.request.input.string();
  report_.seconds.read += read.seconds;
  report_.n_nonfinite += read.n_nonfinite;
  const Progress of_scan = [&](int done, int total) {
    return !progress || progress(t * total + done, n_volumes() * total);
  };
  RestoredVolume restored =
      restorer_.restore_volume(std::move(read.volume), scan_.request.measured, of_scan, report_.seconds);
  report_.intensities.push_back(restored.intensity);

  for (const float v : restored.result.mean.data) report_.n_nonfinite_result += !std::isfinite(v);
  if (const std::string why = restorer_.why_gpu_was_left(); !why.empty())
    notes_.push_back(fmt::format("{}: the CPU took over from the GPU: {}", name, why));
  if (restorer_.domain() && t == 0)
    unlike_ = outside_domain(*restorer_.domain(), restored.input, voxel_edges_mm(scan_.reader.info(), grid_),
                             scan_.request.input);

  // What waits to be written takes no more memory than it must.
  if (change_) {
    std::vector<float>& difference = restored.input.data;
    for (size_t i = 0; i < difference.size(); i++) difference[i] = restored.result.mean.data[i] - difference[i];
  } else {
    restored.input = {};
  }
  if (!uncertainty_) restored.result.sd = {};
  return restored;
}

void ScanInWork::write(const RestoredVolume& restored) {
  timed(report_.seconds.write, [&] {
    result_->write(restored.result.mean);
    if (uncertainty_) uncertainty_->write(restored.result.sd);
    if (change_) change_->write(restored.input);  // the difference, by now
  });
}

RestoreReport ScanInWork::finish() {
  timed(report_.seconds.write, [&] {
    result_->commit();
    if (change_) change_->commit();
    if (uncertainty_) uncertainty_->commit();
  });
  gather_warnings();
  return std::move(report_);
}

void ScanInWork::gather_warnings() {
  const std::string name = report_.input.string();
  std::vector<std::string>& warnings = report_.warnings;
  const auto add = [&](const std::vector<std::string>& more) {
    warnings.insert(warnings.end(), more.begin(), more.end());
  };
  add(scan_.reader.warnings());
  add(result_->warnings());
  if (report_.n_nonfinite > 0)
    add({fmt::format("{} has {} voxels that are not finite and were taken as 0", name, report_.n_nonfinite)});
  if (report_.n_nonfinite_result > 0)
    add(
        {fmt::format("{}: {} voxels of the result are not finite; the scan's values and the weights' normalization do "
                     "not go together",
                     name, report_.n_nonfinite_result)});
  add(notes_);
  if (report_.n_nonfinite_result > 0 && restorer_.options().backend.precision == cuda::Precision::f16)
    add({fmt::format("{}: f16 ends at 65504; --precision bf16, tf32 or fp32 goes further", name)});
  if (!unlike_.empty()) add({fmt::format("{}: {}", name, unlike_)});
}

// Three places: one volume is being read, one is restored by the caller's thread, one is being written.
class ScanQueue {
 public:
  ScanQueue(Restorer& restorer, size_t n, const ScanCalls& calls) : restorer_(restorer), n_(n), calls_(calls) {}
  void run();

 private:
  struct Ahead {
    OpenScan scan;
    std::future<VolumeRead> first;  // its first volume: it is ready, or what went wrong with it
  };

  void read_ahead(size_t i);
  // Returns when scan i is restored; its last volume is still being written.
  std::future<RestoreReport> restore(size_t i);

  Restorer& restorer_;
  const size_t n_;
  const ScanCalls& calls_;
  std::future<Ahead> ahead_;           // the scan that comes next
  std::future<RestoreReport> behind_;  // the scan before the one that is restored
};

std::future<RestoreReport> failed(std::exception_ptr what) {
  std::promise<RestoreReport> promise;
  promise.set_exception(std::move(what));
  return promise.get_future();
}

void ScanQueue::run() {
  if (n_ > 0) read_ahead(0);
  for (size_t i = 0; i < n_; i++) {
    std::future<RestoreReport> restored;
    std::exception_ptr trouble;
    try {
      restored = restore(i);
    } catch (...) {
      trouble = std::current_exception();
    }
    if (behind_.valid()) calls_.done(i - 1, std::move(behind_));
    if (trouble) calls_.done(i, failed(trouble));
    behind_ = std::move(restored);
    if (!ahead_.valid() && i + 1 < n_) read_ahead(i + 1);
  }
  if (behind_.valid()) calls_.done(n_ - 1, std::move(behind_));
}

void ScanQueue::read_ahead(size_t i) {
  ahead_ = std::async([this, i] {
    Ahead ahead{calls_.open(i), {}};
    std::packaged_task<VolumeRead()> read([&] { return read_volume(ahead.scan.reader, 0); });
    ahead.first = read.get_future();
    read();  // never throws: a result that cannot be written is told before voxels that cannot be read
    return ahead;
  });
}

std::future<RestoreReport> ScanQueue::restore(size_t i) {
  Ahead ahead = ahead_.get();
  const Progress progress = calls_.progress(i);
  const auto work = std::make_shared<ScanInWork>(std::move(ahead.scan), restorer_);
  const int n_volumes = work->n_volumes();
  std::future<VolumeRead> next = std::move(ahead.first);
  std::future<void> written;  // the volume before
  for (int t = 0;; t++) {
    VolumeRead read = next.get();
    const bool last = t + 1 == n_volumes;
    if (!last)
      next = std::async([work, t] { return read_volume(work->reader(), t + 1); });
    else if (i + 1 < n_)
      read_ahead(i + 1);
    RestoredVolume restored = work->restore(t, std::move(read), progress);
    if (written.valid()) written.get();
    // The volume goes as soon as it is written, not with the future.
    auto write = [work, restored = std::move(restored)]() mutable { work->write(std::exchange(restored, {})); };
    if (last)
      return std::async([work, write = std::move(write)]() mutable {
        write();
        return work->finish();
      });
    written = std::async(std::move(write));
    if (behind_.valid()) behind_.wait();
  }
}

}  // namespace

void restore_scans(Restorer& restorer, size_t n, const ScanCalls& calls) {
  ScanQueue(restorer, n, calls).run();
}

RestoreReport restore_scan(Restorer& restorer, const ScanRequest& request, const Progress& progress) {
  RestoreReport report;
  ScanCalls calls;
  calls.open = [&](size_t) { return OpenScan{request, ScanReader(request.input)}; };
  calls.progress = [&](size_t) { return progress; };
  calls.done = [&](size_t, std::future<RestoreReport> written) { report = written.get(); };
  restore_scans(restorer, 1, calls);
  return report;
}

}  // namespace sr
