// Scans on their way into batches. Over 500 lines: all of it needs the same folders of small scans.
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

#include "engine/base/status.h"
#include "engine/images/intensity.h"
#include "engine/images/resample.h"
#include "engine/nifti/nifti.h"
#include "engine/training/augment.h"
#include "engine/training/dataset.h"
#include "engine/training/random.h"
#include "tests/support/catch.h"

using namespace sr;
using namespace sr::train;
namespace fs = std::filesystem;
namespace {

// A folder of small random scans, removed at the end.
struct Folder {
  fs::path path;
  explicit Folder(const std::string& name)
      : path(fs::temp_directory_path() / ("sr_train_" + name + "_" + std::to_string(::getpid()))) {
    fs::create_directories(path);
  }
  ~Folder() { fs::remove_all(path); }
  void scan(const std::string& name, Size3 size, uint64_t seed) const {
    const double mm[3] = {1, 1, 1};
    ScanWriter writer(path / name, size, mm, {});
    Volume volume(size);
    Random random(seed, 1);
    for (float& v : volume.data) v = static_cast<float>(100 + 50 * random.uniform());
    writer.write(volume);
    writer.commit();
  }
};

constexpr Size3 kSize{14, 16, 18};

DataOptions small_options(const Folder& folder) {
  DataOptions options;
  options.folder = folder.path;
  options.batch = 4;
  options.patch = 8;
  options.patches_per_subject = 3;
  options.validation = options.test = "";
  options.flips = false;
  options.normalization = parse_normalization("foreground");
  return options;
}

Folder& ten_scans() {
  static Folder folder("scans");
  static bool made = false;
  if (!made)
    for (int i = 0; i < 10; i++) folder.scan("s" + std::to_string(i) + ".nii", kSize, static_cast<uint64_t>(i));
  made = true;
  return folder;
}

bool same(const Batch& a, const Batch& b) {
  return a.n == b.n && a.input == b.input && a.target == b.target;
}

}  // namespace

TEST_CASE("a batch depends on seed and step alone") {
  DataOptions options = small_options(ten_scans());
  options.axes = GENERATE(false, true);
  if (options.axes) options.favour = {{"s3", 2}};
  options.flips = true;
  options.noise = 0.1;
  options.blur = 0.9;
  options.intensity = 0.1;
  options.factors = {{2, 2, 1}, {1, 2, 2}};
  const std::vector<Subject> subjects = find_subjects(options.folder, options.patch).usable;
  REQUIRE(subjects.size() == 10);
  BatchSource first(subjects, options, 0, 1);
  std::map<int64_t, Batch> batches;
  for (int64_t step = 0; step < 9; step++) batches[step] = first.batch(step);
  CHECK_FALSE(same(batches[0], batches[1]));

  options.loading_threads = 3;
  options.max_memory = 1;  // one scan at a time
  BatchSource resumed(subjects, options, 0, 1);
  for (int64_t step = 5; step < 9; step++) CHECK(same(resumed.batch(step), batches[step]));
  CHECK(same(resumed.batch(2), batches[2]));

  // Two ranks' shares side by side are the batch of one.
  BatchSource left(subjects, options, 0, 2), right(subjects, options, 1, 2);
  const Batch a = left.batch(3), b = right.batch(3);
  CHECK(a.n == 2);
  std::vector<float> both = a.input;
  both.insert(both.end(), b.input.begin(), b.input.end());
  CHECK(both == batches[3].input);
  CHECK_THROWS_AS(BatchSource(subjects, options, 0, 3), Error);

  options.seed = 2;
  CHECK_FALSE(same(BatchSource(subjects, options, 0, 1).batch(0), batches[0]));
}

TEST_CASE("an epoch takes the same number of patches of every subject, from few at a time") {
  const DataOptions options = small_options(ten_scans());
  const BatchSource source(find_subjects(options.folder, options.patch).usable, options, 0, 1);
  std::vector<std::vector<size_t>> epochs;
  for (int64_t epoch = 0; epoch < 3; epoch++) {
    std::map<size_t, int> visits;
    std::set<size_t> first_group;
    std::vector<size_t>& order = epochs.emplace_back();
    for (int64_t i = 0; i < 30; i++) {
      const size_t subject = source.subject_of(epoch * 30 + i);
      visits[subject]++;
      order.push_back(subject);
      if (i < BatchSource::kGroup * 3) first_group.insert(subject);
    }
    CHECK(visits.size() == 10);
    for (const auto& [subject, n] : visits) CHECK(n == 3);
    CHECK(first_group.size() == BatchSource::kGroup);
  }
  CHECK(epochs[0] != epochs[1]);
}

TEST_CASE("of a favoured scan there are so many times as many patches, spread over the epoch") {
  DataOptions options = small_options(ten_scans());
  options.favour = {{"s4.nii", 3}, {"s7", 2}, {"s1", 1}};
  const std::vector<Subject> subjects = find_subjects(options.folder, options.patch).usable;
  const BatchSource source(subjects, options, 0, 1);
  constexpr int64_t kEpoch = (10 + 2 + 1) * 3, kOneGroup = BatchSource::kGroup * 3;
  std::set<int64_t> groups_of_4;
  for (int64_t epoch = 0; epoch < 4; epoch++) {
    std::map<std::string, int> visits;
    std::map<int64_t, std::set<size_t>> groups;
    for (int64_t i = 0; i < kEpoch; i++) {
      const size_t subject = source.subject_of(epoch * kEpoch + i);
      visits[subjects[subject].name]++;
      groups[i / kOneGroup].insert(subject);
      if (subject == 4) groups_of_4.insert(i / kOneGroup);
    }
    CHECK(visits.size() == 10);
    for (const auto& [name, n] : visits) CHECK(n == (name == "s4.nii" ? 9 : name == "s7.nii" ? 6 : 3));
    for (const auto& [group, members] : groups) CHECK(members.size() <= BatchSource::kGroup);
  }
  CHECK(groups_of_4.size() == 2);

  const auto message = [&](const std::map<std::string, int>& favour, const std::vector<Subject>& those) -> std::string {
    options.favour = favour;
    try {
      const BatchSource refused(those, options, 0, 1);
    } catch (const Error& e) {
      CHECK(e.status == Status::bad_usage);
      return e.what();
    }
    return "";
  };
  CHECK(message({{"s44", 2}}, subjects).find("--favour s44: is none of the scans") == 0);
  CHECK(message({{"s4", 2}, {"s4.nii", 2}}, subjects).find("named twice") != std::string::npos);
  std::vector<Subject> alike = subjects;
  alike.push_back({"s4.nii.gz", alike[4].high, {}});
  alike.push_back({"no ending", alike[4].high, {}});
  CHECK(message({{"s4", 2}}, alike).find("several") != std::string::npos);
  CHECK(message({{"s4.nii", 2}}, alike).empty());
}

// What runs that were begun with an older program rest on when they are resumed.
TEST_CASE("the random numbers of a sample are drawn in this order") {
  DataOptions options = small_options(ten_scans());
  options.batch = 1;
  options.flips = true;
  options.factors = {{2, 2, 1}, {1, 2, 2}};
  const std::vector<Subject> subjects = find_subjects(options.folder, options.patch).usable;
  BatchSource source(subjects, options, 0, 1);
  std::vector<size_t> visits;
  for (int64_t i = 0; i < 16; i++) visits.push_back(source.subject_of(30 + i));
  CHECK(visits == std::vector<size_t>{3, 8, 5, 0, 1, 6, 3, 5, 7, 0, 5, 8, 2, 6, 6, 7});

  for (int64_t step = 0; step < 8; step++) {
    const Volume high = ScanReader(subjects[source.subject_of(step)].high).read(0);
    Random random(options.seed, (uint64_t{1} << 40) + static_cast<uint64_t>(step));
    const Factors factors = options.factors[random.below(2)];
    const Volume low = degrade(high, factors, options.input);
    const double scale = 1 / measure_intensity(options.normalization, low).b;
    int at[3];
    for (int axis = 0; axis < 3; axis++)
      at[axis] = static_cast<int>(random.below(std::array{kSize.d, kSize.h, kSize.w}[static_cast<size_t>(axis)] - 7));
    const bool flip[3] = {random.coin(), random.coin(), random.coin()};
    const Batch batch = source.batch(step);
    const auto place = [&](int axis, int i) { return at[axis] + (flip[axis] ? 7 - i : i); };
    double worst = 0;
    for (int i = 0; i < 512; i++) {
      const int z = place(0, i / 64), y = place(1, i / 8 % 8), x = place(2, i % 8);
      const auto voxel = static_cast<size_t>(i);
      worst = std::max({worst, std::abs(high.at(z, y, x) * scale - batch.target[voxel]),
                        std::abs(low.at(z, y, x) * scale - batch.input[voxel])});
    }
    CHECK(worst < 1e-6);
  }
}

TEST_CASE("a sample is a place of the scan and of its degraded self, normalised alike") {
  const DataOptions options = small_options(ten_scans());
  const std::vector<Subject> subjects = {find_subjects(options.folder, options.patch).usable[4]};
  DataOptions one = options;
  one.batch = 1;
  const Volume high = ScanReader(subjects[0].high).read(0);
  const Volume low = degrade(high, {2, 2, 1}, Interpolation::linear);
  const Intensity intensity = measure_intensity(options.normalization, low);
  for (const bool flips : {false, true}) {
    one.flips = flips;
    BatchSource source(subjects, one, 0, 1);
    for (int64_t step = 0; step < 6; step++) {
      const Batch batch = source.batch(step);
      // The target says where the patch is, and which way round; the input must be the same place.
      int n_found = 0;
      for (int f = 0; f < 8; f++)
        for (int z0 = 0; z0 + 8 <= kSize.d; z0++)
          for (int y0 = 0; y0 + 8 <= kSize.h; y0++)
            for (int x0 = 0; x0 + 8 <= kSize.w; x0++) {
              bool target = true, input = true;
              for (int i = 0; i < 512 && target; i++) {
                const int z = i / 64, y = i / 8 % 8, x = i % 8;
                const int at[3] = {z0 + (f & 1 ? 7 - z : z), y0 + (f & 2 ? 7 - y : y), x0 + (f & 4 ? 7 - x : x)};
                const auto is = [&](const Volume& v, float value) {
                  return std::abs(v.at(at[0], at[1], at[2]) / intensity.b - value) < 1e-5;
                };
                const auto voxel = static_cast<size_t>(i);
                target = is(high, batch.target[voxel]);
                input = input && is(low, batch.input[voxel]);
              }
              if (target) {
                n_found++;
                CHECK(input);
                CHECK((flips || f == 0));
              }
            }
      CHECK(n_found == 1);
    }
  }
}

TEST_CASE("augmentations change what they say, on both sides") {
  DataOptions options = small_options(ten_scans());
  const std::vector<Subject> subjects = find_subjects(options.folder, options.patch).usable;
  const Batch plain = BatchSource(subjects, options, 0, 1).batch(0);

  options.intensity = 0.2;
  const Batch scaled = BatchSource(subjects, options, 0, 1).batch(0);
  const double gain = scaled.input[0] / plain.input[0];
  CHECK(std::abs(gain - 1) <= 0.2);
  CHECK(gain != 1);
  for (size_t i = 0; i < 512; i++) {
    CHECK(std::abs(scaled.input[i] - gain * plain.input[i]) < 1e-5);
    CHECK(std::abs(scaled.target[i] - gain * plain.target[i]) < 1e-5);
  }

  options.intensity = 0;
  options.noise = 0.5;
  const Batch noisy = BatchSource(subjects, options, 0, 1).batch(0);
  double in_target = 0, in_input = 0;
  for (size_t i = 0; i < 4 * 512; i++) {
    in_target += std::pow(noisy.target[i] - plain.target[i], 2);
    in_input += std::pow(noisy.input[i] - plain.input[i], 2);
  }
  // |q| < M / 2 of M = 4 of N = 8 samples are 3, along two axes.
  CHECK(in_input / in_target == Approx(9.0 / 64).epsilon(0.15));

  options.noise = 0;
  options.blur = 2;
  const Batch soft = BatchSource(subjects, options, 0, 1).batch(0);
  const auto variance = [](const std::vector<float>& v) {
    double sum = 0, squares = 0;
    for (const float x : v) sum += x, squares += double{x} * x;
    return squares / static_cast<double>(v.size()) - std::pow(sum / static_cast<double>(v.size()), 2);
  };
  CHECK(variance(soft.target) < 0.9 * variance(plain.target));
  CHECK(variance(soft.input) < variance(plain.input));
}

namespace {

// The scan with axis order[a] of `from` as its axis a (i, j, k).
Volume turned(const Volume& from, const AxisOrder& order) {
  const std::array<int, 3> n{from.size.w, from.size.h, from.size.d};
  Volume to({n[order[2]], n[order[1]], n[order[0]]});
  for (int z = 0; z < to.size.d; z++)
    for (int y = 0; y < to.size.h; y++)
      for (int x = 0; x < to.size.w; x++) {
        const std::array<int, 3> here{x, y, z};
        std::array<int, 3> there{};
        for (size_t axis = 0; axis < 3; axis++) there[order[axis]] = here[axis];
        to.at(z, y, x) = from.at(there[2], there[1], there[0]);
      }
  return to;
}

// The largest difference between a sample and the patch at a place of a volume.
double distance(const float* sample, const Volume& volume, int z0, int y0, int x0, double b) {
  double worst = 0;
  for (int i = 0; i < 512 && worst < 0.01; i++)
    worst = std::max(worst, std::abs(sample[i] - volume.at(z0 + i / 64, y0 + i / 8 % 8, x0 + i % 8) / b));
  return worst;
}

}  // namespace

TEST_CASE("with --axes a sample is one of the scan turned any way and degraded then") {
  DataOptions options = small_options(ten_scans());
  options.axes = true;
  options.batch = 40;
  const std::vector<Subject> subjects = {find_subjects(options.folder, options.patch).usable[4]};
  const Volume high = ScanReader(subjects[0].high).read(0);
  for (const auto& [factors, n_low] :
       {std::pair(Factors{2, 2, 1}, 3), {Factors{2, 2, 2}, 1}, {Factors{1, 3, 1.5}, 6}}) {
    options.factors = {factors};
    CHECK(prepare_scan(subjects[0], options).low.size() == static_cast<size_t>(n_low));
    const Batch batch = BatchSource(subjects, options, 0, 1).batch(0);
    std::map<AxisOrder, int> n_found;
    AxisOrder order{0, 1, 2};
    do {
      const Volume target = turned(high, order), input = degrade(target, factors, options.input);
      const double b = measure_intensity(options.normalization, input).b;
      for (int sample = 0; sample < batch.n; sample++)
        for (int z = 0; z + 8 <= target.size.d; z++)
          for (int y = 0; y + 8 <= target.size.h; y++)
            for (int x = 0; x + 8 <= target.size.w; x++)
              if (distance(batch.target.data() + sample * 512, target, z, y, x, b) < 1e-5) {
                n_found[order]++;
                CHECK(distance(batch.input.data() + sample * 512, input, z, y, x, b) < 1e-5);
              }
    } while (std::ranges::next_permutation(order).found);
    int n_all = 0;
    for (const auto& [unused, n] : n_found) n_all += n;
    CHECK(n_all == batch.n);
    CHECK(n_found.size() == 6);
  }
}

TEST_CASE("with --axes noise is measured along the axes that were cut") {
  DataOptions options = small_options(ten_scans());
  options.axes = true;
  options.batch = 20;
  const std::vector<Subject> subjects = find_subjects(options.folder, options.patch).usable;
  const Batch plain = BatchSource(subjects, options, 0, 1).batch(0);
  options.noise = 0.5;
  const Batch noisy = BatchSource(subjects, options, 0, 1).batch(0);
  for (int sample = 0; sample < plain.n; sample++) {
    Volume in_target({8, 8, 8});
    const auto first = static_cast<size_t>(sample) * 512;
    for (size_t i = 0; i < 512; i++) in_target.data[i] = noisy.target[first + i] - plain.target[first + i];
    const Volume measured = measured_part(in_target, {8, 8, 8}, {8, 4, 4});
    double worst = 0;
    for (size_t i = 0; i < 512; i++)
      worst = std::max<double>(worst, std::abs(noisy.input[first + i] - plain.input[first + i] - measured.data[i]));
    CHECK(worst < 1e-5);
  }
}

TEST_CASE("with --axes validation is as without, and pairs are refused") {
  DataOptions options = small_options(ten_scans());
  options.axes = true;
  options.validation = "0.1";
  SingleProcess alone;
  const ScanPair scan = make_data(options, alone).validation.scan(0);
  CHECK(scan.low.data == degrade(scan.high, {2, 2, 1}, options.input).data);

  std::vector<Subject> subjects = find_subjects(options.folder, options.patch).usable;
  subjects[3].low = subjects[4].high;
  try {
    const BatchSource refused(subjects, options, 0, 1);
    FAIL("turned a pair");
  } catch (const Error& e) {
    CHECK(e.status == Status::bad_usage);
    CHECK(std::string(e.what()).find("--axes: s3.nii") == 0);
  }
}

TEST_CASE("a blur is as wide as it says along every axis, however narrow") {
  for (const double sd : {0.0, 0.1, 0.3, 0.5, 0.9, 2.0, 4.0}) {
    CAPTURE(sd);
    constexpr int kMiddle[3] = {24, 25, 26};
    Volume dot({49, 51, 53});
    dot.at(kMiddle[0], kMiddle[1], kMiddle[2]) = 1;
    blur(dot, sd);
    double sum = 0, variance[3] = {};
    for (int z = 0; z < 49; z++)
      for (int y = 0; y < 51; y++)
        for (int x = 0; x < 53; x++) {
          const int at[3] = {z, y, x};
          sum += dot.at(z, y, x);
          for (int axis = 0; axis < 3; axis++)
            variance[axis] += dot.at(z, y, x) * std::pow(at[axis] - kMiddle[axis], 2);
        }
    CHECK(sum == Approx(1).epsilon(1e-6));
    // Within what the kernel's ends leave out.
    for (const double v : variance) CHECK(v == Approx(sd * sd).epsilon(1e-4).margin(1e-9));
  }
  Volume flat({5, 3, 1});  // smaller than the kernel; what lies outside is as the edge
  std::ranges::fill(flat.data, 7.0f);
  blur(flat, 1.5);
  for (const float v : flat.data) CHECK(v == Approx(7));
}

TEST_CASE("lists name scans and pairs; what cannot be used is skipped and said") {
  const Folder folder("lists");
  const fs::path where = folder.path;
  const Folder& scans = ten_scans();
  const std::string at = scans.path.string() + "/";
  std::ofstream(where / "small.txt") << "# comment\n"
                                     << at << "s1.nii  # the second\n"
                                     << at << "s2.nii\t" << at << "s3.nii\n"
                                     << at << "none.nii\n";
  const SubjectList list = find_subjects(where / "small.txt", 8);
  REQUIRE(list.usable.size() == 2);
  CHECK(list.usable[0].name == "s1.nii");
  CHECK(list.usable[1].name == "s3.nii");
  REQUIRE(list.usable[1].low);
  REQUIRE(list.skipped.size() == 1);
  CHECK(list.skipped[0].reason.find("none.nii") != std::string::npos);

  DataOptions options = small_options(scans);
  const PreparedScan pair = prepare_scan(list.usable[1], options);
  CHECK(pair.low[0].volume.data == ScanReader(scans.path / "s2.nii").read(0).data);

  const auto message = [](const auto& f) -> std::string {
    try {
      f();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  CHECK(message([&] { find_subjects(scans.path, 17); }).find("less than a patch of 17") != std::string::npos);
  CHECK(message([&] { find_subjects(where, 8); }).find("no NIfTI scans") != std::string::npos);
  CHECK(message([&] { find_subjects(where / "absent", 8); }).find("no such folder") != std::string::npos);
}

TEST_CASE("a scan of one value, or of none, is skipped and said") {
  const Folder folder("blank");
  const auto filled = [&](const std::string& name, float value) {
    const double mm[3] = {1, 1, 1};
    ScanWriter writer(folder.path / name, kSize, mm, {});
    Volume volume(kSize);
    std::ranges::fill(volume.data, value);
    writer.write(volume);
    writer.commit();
  };
  filled("blank.nii", 0);
  filled("constant.nii", 100);
  filled("nan.nii.gz", std::nanf(""));
  CHECK_THROWS_WITH(find_subjects(folder.path, 8),
                    ContainsSubstring("none of its 3 scans can be used; the first, blank.nii: its voxels are "
                                      "all 0"));
  folder.scan("good.nii", kSize, 1);
  folder.scan("high.nii", kSize, 2);
  std::ofstream(folder.path / "list.txt") << "good.nii\nblank.nii\nconstant.nii\nnan.nii.gz\n"
                                          << "constant.nii\thigh.nii\n";
  const SubjectList list = find_subjects(folder.path / "list.txt", 8);
  REQUIRE(list.usable.size() == 1);
  CHECK(list.usable[0].name == "good.nii");
  REQUIRE(list.skipped.size() == 4);
  std::map<std::string, std::string> reasons;
  for (const SkippedScan& scan : list.skipped) reasons[scan.path.filename().string()] = scan.reason;
  CHECK(reasons.at("blank.nii") == "its voxels are all 0");
  CHECK(reasons.at("constant.nii") == "its voxels are all 100");
  CHECK(reasons.at("nan.nii.gz") == "none of its voxels is a finite number");
  CHECK(reasons.at("high.nii").starts_with("its low-resolution scan "));
  CHECK(reasons.at("high.nii").ends_with("constant.nii: its voxels are all 100"));

  CHECK_THROWS_WITH(split_subjects(list.usable, "constant.nii", "", 1, list.skipped),
                    "--val constant.nii: constant.nii cannot be used: its voxels are all 100; name another scan");
}

TEST_CASE("a scan that goes away in the middle of a run is named, each time") {
  const Folder folder("gone");
  folder.scan("a.nii", kSize, 1);
  const DataOptions options = small_options(folder);
  BatchSource source(find_subjects(folder.path / "a.nii", 8).usable, options, 0, 1);
  fs::remove(folder.path / "a.nii");
  for (int i = 0; i < 2; i++) {
    try {
      source.batch(0);
      FAIL("made of nothing");
    } catch (const Error& e) {
      CHECK(std::string(e.what()).find("a.nii") != std::string::npos);
    }
  }
}

TEST_CASE("patches of air are rare whatever the normalisation") {
  const Folder folder("air");
  const double mm[3] = {1, 1, 1};
  {
    ScanWriter writer(folder.path / "half.nii", {48, 16, 16}, mm, {});
    Volume volume({48, 16, 16});
    Random random(3, 1);
    for (int z = 0; z < 16; z++)  // tissue in the first third
      for (int i = 0; i < 256; i++) volume.data[z * 256 + i] = static_cast<float>(80 + random.uniform());
    writer.write(volume);
    writer.commit();
  }
  for (const char* rule : {"foreground", "none", "scale:4095"}) {
    DataOptions options = small_options(folder);
    options.normalization = parse_normalization(rule);
    options.batch = 100;
    const Batch batch = BatchSource(find_subjects(folder.path, 8).usable, options, 0, 1).batch(0);
    int n_air = 0;
    for (int i = 0; i < batch.n; i++) {
      const float* patch = batch.target.data() + i * 512;
      n_air += *std::max_element(patch, patch + 512) == 0;
    }
    INFO(rule);
    CHECK(n_air < 30);  // of all places, 24 of 41 are air
  }
}

TEST_CASE("subjects are split once and for all") {
  const DataOptions options = small_options(ten_scans());
  const std::vector<Subject> subjects = find_subjects(options.folder, options.patch).usable;
  const Split split = split_subjects(subjects, "0.2", "0.1", 7);
  CHECK(split.validation.size() == 2);
  CHECK(split.test.size() == 1);
  CHECK(split.train.size() == 7);
  std::set<std::string> all;
  for (const auto* part : {&split.train, &split.validation, &split.test}) all.insert(part->begin(), part->end());
  CHECK(all.size() == 10);
  CHECK(split_subjects(subjects, "0.2", "0.1", 7).train == split.train);

  const Folder folder("split");
  const fs::path list = folder.path / "validation.txt";
  std::ofstream(list) << "s4.nii\n";
  CHECK(split_subjects(subjects, list.string(), "", 1).validation == std::vector<std::string>{"s4.nii"});
  CHECK_THROWS_AS(split_subjects(subjects, list.string(), list.string(), 1), Error);  // in both parts
  CHECK(split_subjects(subjects, "scans/s4.nii", "s2.nii", 1).validation == std::vector<std::string>{"s4.nii"});
  CHECK_THROWS_AS(split_subjects(subjects, "scans/s40.nii", "", 1), Error);
  std::ofstream(list) << "s44.nii\n";
  CHECK_THROWS_AS(split_subjects(subjects, list.string(), "", 1), Error);
  CHECK_THROWS_AS(split_subjects(subjects, "0.95", "0.05", 1), Error);
  CHECK_THROWS_AS(split_subjects(subjects, "1.5", "", 1), Error);
}

TEST_CASE("the cache keeps what fits, a group at least") {
  const DataOptions options = small_options(ten_scans());
  const std::vector<Subject> subjects = find_subjects(options.folder, options.patch).usable;
  const int64_t one = prepare_scan(subjects[0], options).bytes();
  const int64_t most = BatchSource::kGroup * one;
  ScanCache cache(subjects, options, 3 * one);
  const auto first = cache.get(0);
  for (size_t i = 1; i < 10; i++) {
    cache.get(i);
    CHECK(cache.bytes() == std::min(most, static_cast<int64_t>(i + 1) * one));
  }
  CHECK(cache.get(9).use_count() > 1);
  CHECK(cache.get(0) != first);  // had to make room
  CHECK(cache.get(0)->high.data == first->high.data);
}
