#include "engine/training/dataset.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <numeric>
#include <set>

#include "engine/base/machine.h"
#include "engine/base/status.h"
#include "engine/images/intensity.h"
#include "engine/images/resample.h"
#include "engine/nifti/nifti.h"
#include "engine/training/augment.h"
#include "engine/training/random.h"

namespace sr::train {
namespace fs = std::filesystem;
namespace {

// Numbers of random streams, so that no two uses share one.
enum Stream : uint64_t { split_stream = 1, order_stream = 1u << 20, sample_stream = uint64_t{1} << 40 };

// Lines without comments and spaces at their ends; empty ones left out.
std::vector<std::string> read_lines(const fs::path& path) {
  std::ifstream file(path);
  if (!file) throw Error(Status::bad_input, fmt::format("{}: cannot be read", path.string()));
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) {
    line.erase(std::min(line.find('#'), line.size()));
    const size_t last = line.find_last_not_of(" \t\r");
    if (last == std::string::npos) continue;
    line.erase(last + 1);
    lines.push_back(line);
  }
  return lines;
}

std::vector<Subject> list_subjects(const fs::path& where) {
  std::vector<Subject> subjects;
  const auto add = [&](const fs::path& high, std::optional<fs::path> low = {}) {
    subjects.push_back({high.filename().string(), high, std::move(low)});
  };
  std::error_code problem;
  if (fs::is_directory(where, problem)) {
    for (const auto& entry : fs::directory_iterator(where)) {
      if (entry.is_directory() || !is_scan_name(entry.path())) continue;
      // Of a pair .hdr/.img the header stands for both.
      if (split_scan_name(entry.path()).extension.starts_with(".img")) continue;
      add(entry.path());
    }
  } else if (is_scan_name(where)) {
    add(where);
  } else {
    for (const std::string& line : read_lines(where)) {
      const size_t tab = line.find('\t');
      const auto path = [&](const std::string& text) { return where.parent_path() / text; };
      if (tab == std::string::npos)
        add(path(line));
      else
        add(path(line.substr(tab + 1)), path(line.substr(0, tab)));
    }
  }
  std::ranges::sort(subjects, {}, [](const Subject& s) { return std::pair(s.name, s.high); });
  return subjects;
}

Volume read_first_volume(const fs::path& path, int64_t* n_nonfinite = nullptr) {
  return ScanReader(path).read(0, n_nonfinite);
}

std::string size_text(Size3 s) {
  return fmt::format("{}x{}x{}", s.w, s.h, s.d);
}

// "" or why a scan teaches nothing and cannot be measured against: "its voxels are all 100".
std::string check_contrast(const Volume& volume, int64_t n_nonfinite) {
  if (n_nonfinite == volume.size.voxels()) return "none of its voxels is a finite number";
  const auto [low, high] = std::ranges::minmax_element(volume.data);
  return *low == *high ? fmt::format("its voxels are all {}", *low) : "";
}

// "" or why the subject cannot be trained on.
std::string check_subject(const Subject& subject, int patch) {
  try {
    int64_t n_nonfinite = 0;
    const Volume high = read_first_volume(subject.high, &n_nonfinite);
    const Size3 s = high.size;
    if (std::min({s.d, s.h, s.w}) < patch)
      return fmt::format("its {} voxels are less than a patch of {} on some axis", size_text(s), patch);
    if (std::string reason = check_contrast(high, n_nonfinite); !reason.empty()) return reason;
    if (subject.low) {
      const Volume low = read_first_volume(*subject.low, &n_nonfinite);
      if (!(low.size == s))
        return fmt::format("its low-resolution scan has {} voxels, not {}: both must be on one grid",
                           size_text(low.size), size_text(s));
      if (const std::string reason = check_contrast(low, n_nonfinite); !reason.empty())
        return fmt::format("its low-resolution scan {}: {}", subject.low->string(), reason);
    }
    return "";
  } catch (const Error& e) {
    return e.what();
  }
}

std::optional<double> share_of(const std::string& text) {
  size_t end = 0;
  try {
    const double share = std::stod(text, &end);
    if (end == text.size()) return share;
  } catch (const std::exception&) {
  }
  return {};
}

// at: z, y, x in `from`.
Volume cut(const Volume& from, std::array<int, 3> at, int patch, const AxisOrder& order, Intensity intensity) {
  Volume to({patch, patch, patch});
  const std::array<ptrdiff_t, 3> step{1, from.size.w, ptrdiff_t{from.size.w} * from.size.h};
  const auto along = [&](size_t axis) { return step[order[axis]]; };
  const float* first = from.data.data() + at[0] * step[2] + at[1] * step[1] + at[2];
  const double scale = 1 / intensity.b, shift = -intensity.a / intensity.b;
  for (int z = 0; z < patch; z++)
    for (int y = 0; y < patch; y++)
      for (int x = 0; x < patch; x++)
        to.at(z, y, x) = static_cast<float>(first[z * along(2) + y * along(1) + x * along(0)] * scale + shift);
  return to;
}

double mean_of(const Volume& v) {
  return std::accumulate(v.data.begin(), v.data.end(), 0.0) / static_cast<double>(v.data.size());
}

// Which subject a name of --favour means.
size_t find_favoured(const std::vector<Subject>& subjects, const std::string& name) {
  std::vector<size_t> found;
  for (size_t i = 0; i < subjects.size(); i++) {
    if (subjects[i].name == name) return i;
    if (is_scan_name(subjects[i].name) && split_scan_name(subjects[i].name).stem == name) found.push_back(i);
  }
  if (found.size() == 1) return found[0];
  throw Error(Status::bad_usage,
              fmt::format("--favour {}: {}", name,
                          found.empty() ? "is none of the scans to train on; give the file name of one, and mind that "
                                          "--val and --test take scans away"
                                        : "is the name of several scans; give the ending as well"));
}

// Every subject once, and those that are favoured as often as it says.
std::vector<size_t> visits_of(const std::vector<Subject>& subjects, const std::map<std::string, int>& favour) {
  std::vector<size_t> visits(subjects.size());
  std::iota(visits.begin(), visits.end(), size_t{0});
  std::set<size_t> favoured;
  for (const auto& [name, times] : favour) {
    const size_t subject = find_favoured(subjects, name);
    if (!favoured.insert(subject).second)
      throw Error(Status::bad_usage, fmt::format("--favour {}: {} is named twice", name, subjects[subject].name));
    visits.insert(visits.end(), static_cast<size_t>(times - 1), subject);
  }
  return visits;
}

constexpr AxisOrder kAsItIs{0, 1, 2};

std::vector<AxisOrder> axis_orders(bool all) {
  AxisOrder order = kAsItIs;
  std::vector<AxisOrder> orders{order};
  while (all && std::ranges::next_permutation(order).found) orders.push_back(order);
  return orders;
}

Factors along_scan(const Factors& of_patch, const AxisOrder& order) {
  Factors factors;
  for (size_t axis = 0; axis < 3; axis++) factors[order[axis]] = of_patch[axis];
  return factors;
}

}  // namespace

SubjectList find_subjects(const fs::path& where, int patch) {
  std::error_code problem;
  if (!fs::exists(where, problem))
    throw Error(Status::bad_input, fmt::format("{}: there is no such folder or list of scans", where.string()));
  SubjectList list;
  std::set<std::string> names;
  for (Subject& subject : list_subjects(where)) {
    std::string reason = check_subject(subject, patch);
    if (reason.empty() && !names.insert(subject.name).second)
      reason = "another scan has the same file name, which is what tells subjects apart";
    if (reason.empty())
      list.usable.push_back(std::move(subject));
    else
      list.skipped.push_back({subject.high, reason});
  }
  if (list.usable.empty()) {
    const std::string first =
        list.skipped.empty() ? std::string("it holds no NIfTI scans (.nii, .nii.gz, .hdr/.img)")
                             : fmt::format("none of its {} scans can be used; the first, {}: {}", list.skipped.size(),
                                           list.skipped[0].path.filename().string(), list.skipped[0].reason);
    throw Error(Status::bad_input, fmt::format("{}: {}", where.string(), first));
  }
  return list;
}

Split split_subjects(const std::vector<Subject>& subjects, const std::string& validation, const std::string& test,
                     uint64_t seed, const std::vector<SkippedScan>& skipped) {
  std::vector<std::string> left;
  for (const Subject& subject : subjects) left.push_back(subject.name);
  const size_t n = left.size();
  Random(seed, split_stream).shuffle(left);

  const auto take = [&](const std::string& option, const std::string& text) {
    std::vector<std::string> part;
    if (text.empty()) return part;
    if (const std::optional<double> share = share_of(text)) {
      if (!(*share >= 0 && *share < 1))
        throw Error(Status::bad_usage, fmt::format("{} {}: a share lies between 0 and 1, such as 0.1", option, text));
      size_t wanted = static_cast<size_t>(std::lround(*share * static_cast<double>(n)));
      if (*share > 0 && n > 1) wanted = std::max<size_t>(1, wanted);
      wanted = std::min(wanted, left.size());
      part.assign(left.end() - static_cast<ptrdiff_t>(wanted), left.end());
      left.resize(left.size() - wanted);
    } else {
      const bool one_scan = is_scan_name(text);
      for (const std::string& name : one_scan ? std::vector{fs::path(text).filename().string()} : read_lines(text)) {
        const auto at = std::ranges::find(left, name);
        if (at == left.end()) {
          const auto why =
              std::ranges::find_if(skipped, [&](const SkippedScan& scan) { return scan.path.filename() == name; });
          throw Error(
              Status::bad_usage,
              fmt::format("{} {}: {} {}", option, text, name,
                          why == skipped.end() ? "is no usable scan of --data, or in another part already"
                                               : fmt::format("cannot be used: {}; name another scan", why->reason)));
        }
        part.push_back(name);
        left.erase(at);
      }
    }
    std::ranges::sort(part);
    return part;
  };
  Split split;
  split.validation = take("--val", validation);
  split.test = take("--test", test);
  std::ranges::sort(left);
  split.train = std::move(left);
  if (split.train.empty())
    throw Error(Status::bad_usage, "--val and --test leave no scan to train on; make them smaller");
  return split;
}

int64_t PreparedScan::bytes() const {
  return static_cast<int64_t>(high.data.size() * sizeof(float) * (1 + low.size()));
}

PreparedScan prepare_scan(const Subject& subject, const DataOptions& options) {
  PreparedScan scan;
  scan.high = read_first_volume(subject.high);
  const auto add = [&](const Factors& factors, Volume low) {
    const Intensity intensity = measure_intensity(options.normalization, low);
    const double foreground = measure_intensity(parse_normalization("foreground"), low).b;
    scan.low.push_back({factors, std::move(low), intensity, foreground});
  };
  if (subject.low) {
    add(options.factors[0], read_first_volume(*subject.low));
    scan.views = {{0, kAsItIs, options.factors[0]}};
    return scan;
  }
  for (const Factors& factors : options.factors)
    for (const AxisOrder& order : axis_orders(options.axes)) {
      const Factors cut = along_scan(factors, order);
      const auto at =
          static_cast<size_t>(std::ranges::find(scan.low, cut, &PreparedScan::Low::factors) - scan.low.begin());
      if (at == scan.low.size()) add(cut, degrade(scan.high, cut, options.input));
      scan.views.push_back({at, order, factors});
    }
  return scan;
}

ScanCache::ScanCache(std::vector<Subject> subjects, const DataOptions& options, int64_t max_bytes)
    : subjects_(std::move(subjects)),
      options_(options),
      max_bytes_(max_bytes > 0 ? max_bytes : physical_memory() / 2) {}

std::shared_ptr<const PreparedScan> ScanCache::get(size_t subject) {
  const std::lock_guard lock(mutex_);  // one scan is prepared at a time: that itself runs on all processors
  if (const auto found = scans_.find(subject); found != scans_.end()) {
    recent_.remove(subject);
    recent_.push_front(subject);
    return found->second;
  }
  auto scan = std::make_shared<const PreparedScan>(prepare_scan(subjects_[subject], options_));
  bytes_ += scan->bytes();
  scans_[subject] = scan;
  recent_.push_front(subject);
  while (bytes_ > max_bytes_ && recent_.size() > BatchSource::kGroup) {
    const auto oldest = scans_.find(recent_.back());
    bytes_ -= oldest->second->bytes();
    scans_.erase(oldest);
    recent_.pop_back();
  }
  return scan;
}

int64_t ScanCache::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

BatchSource::BatchSource(const std::vector<Subject>& subjects, const DataOptions& options, int rank, int n_ranks)
    : visits_(visits_of(subjects, options.favour)),
      options_(options),
      rank_(rank),
      n_ranks_(n_ranks),
      cache_(subjects, options, options.max_memory) {
  const auto pair = std::ranges::find_if(subjects, [](const Subject& subject) { return subject.low.has_value(); });
  if (options.axes && pair != subjects.end())
    throw Error(
        Status::bad_usage,
        fmt::format("--axes: {} has a low-resolution scan of its own, which does not say along which axes it was "
                    "cut; leave out --axes or the low-resolution scans",
                    pair->name));
  if (options.batch % n_ranks != 0)
    throw Error(Status::bad_usage, fmt::format("--batch {}: {} processes cannot share it evenly; use a multiple of {}",
                                               options.batch, n_ranks, n_ranks));
}

BatchSource::~BatchSource() = default;

Batch BatchSource::batch(int64_t step) {
  std::erase_if(ahead_, [&](const auto& entry) { return entry.first < step || entry.first > step + 256; });
  for (int64_t next = step; next <= step + options_.loading_threads; next++)
    if (!ahead_.contains(next)) ahead_[next] = std::async(std::launch::async, [this, next] { return make(next); });
  std::future<Batch> wanted = std::move(ahead_.at(step));
  ahead_.erase(step);  // also where it throws: asked again, it is made again
  return wanted.get();
}

Batch BatchSource::make(int64_t step) {
  const int patch = options_.patch;
  Batch batch = {.n = options_.batch / n_ranks_, .size = {patch, patch, patch}, .input = {}, .target = {}};
  const auto n = static_cast<size_t>(batch.n) * static_cast<size_t>(batch.size.voxels());
  batch.input.resize(n);
  batch.target.resize(n);
  for (int i = 0; i < batch.n; i++) add_sample(step * options_.batch + int64_t{rank_} * batch.n + i, batch, i);
  return batch;
}

size_t BatchSource::subject_of(int64_t sample) const {
  const int64_t n_patches = options_.patches_per_subject, n_visits = static_cast<int64_t>(visits_.size()),
                n_epoch = n_patches * n_visits;
  const int64_t epoch = sample / n_epoch, at = sample % n_epoch;
  std::vector<size_t> order = visits_;
  Random(options_.seed, order_stream + static_cast<uint64_t>(epoch) * 2).shuffle(order);

  const int64_t group = at / (kGroup * n_patches), first = group * kGroup;
  const int64_t n_group = std::min<int64_t>(kGroup, n_visits - first);
  std::vector<int64_t> turns(static_cast<size_t>(n_group * n_patches));
  std::iota(turns.begin(), turns.end(), int64_t{0});
  Random(options_.seed + static_cast<uint64_t>(group) * 0x100000001u,
         order_stream + static_cast<uint64_t>(epoch) * 2 + 1)
      .shuffle(turns);
  return order[first + turns[static_cast<size_t>(at - first * n_patches)] / n_patches];
}

void BatchSource::add_sample(int64_t sample, Batch& batch, int place) {
  Random random(options_.seed, sample_stream + static_cast<uint64_t>(sample));
  const std::shared_ptr<const PreparedScan> scan = cache_.get(subject_of(sample));
  const auto view_number = static_cast<size_t>(random.below(static_cast<int64_t>(scan->views.size())));
  const PreparedScan::View& view = scan->views[view_number];
  const PreparedScan::Low& low = scan->low[view.low];
  const int patch = options_.patch;
  const Size3 size = scan->high.size;

  Sample s;
  std::array<int, 3> at{};
  for (int tries = 0; tries < 20; tries++) {
    at = {static_cast<int>(random.below(size.d - patch + 1)), static_cast<int>(random.below(size.h - patch + 1)),
          static_cast<int>(random.below(size.w - patch + 1))};
    s.input = cut(low.volume, at, patch, view.order, low.intensity);
    // Mostly air teaches little: one in ten of such patches is kept.
    const double mean = mean_of(s.input) * low.intensity.b + low.intensity.a;
    if (mean >= 0.15 * low.foreground || random.below(10) == 0) break;
  }
  s.target = cut(scan->high, at, patch, view.order, low.intensity);

  if (options_.blur > 0 && random.coin()) {
    const double sd = options_.blur * random.uniform();
    blur(s.input, sd);
    blur(s.target, sd);
  }
  if (options_.noise > 0) add_noise(s, options_.noise * random.uniform(), view.factors, random);
  const double gain = options_.intensity > 0 ? 1 + options_.intensity * (2 * random.uniform() - 1) : 1;
  const bool flip[3] = {options_.flips && random.coin(), options_.flips && random.coin(),
                        options_.flips && random.coin()};

  const auto first = static_cast<size_t>(place) * static_cast<size_t>(batch.size.voxels());
  size_t to = first;
  for (int z = 0; z < patch; z++)
    for (int y = 0; y < patch; y++)
      for (int x = 0; x < patch; x++, to++) {
        const int from[3] = {flip[0] ? patch - 1 - z : z, flip[1] ? patch - 1 - y : y, flip[2] ? patch - 1 - x : x};
        batch.input[to] = static_cast<float>(gain * s.input.at(from[0], from[1], from[2]));
        batch.target[to] = static_cast<float>(gain * s.target.at(from[0], from[1], from[2]));
      }
}

}  // namespace sr::train
