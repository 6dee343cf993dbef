// Scans in and out, against files written by nibabel (golden/nifti, made by make_fixtures.py there).
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <cmath>
#include <csignal>
#include <cstring>
#include <limits>
#include <nlohmann/json.hpp>

#include "engine/nifti.h"
#include "engine/nifti_check.h"
#include "engine/nifti_describe.h"
#include "tests/catch.h"
#include "tests/scan_files.h"

using namespace sr;
using test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

const fs::path kGolden = fs::path(SR_TEST_DATA) / "golden" / "nifti";

const nlohmann::json& expected() {
  static const nlohmann::json json = nlohmann::json::parse(std::ifstream(kGolden / "expected.json"));
  return json;
}

std::vector<float> read_all(ScanReader& scan, int64_t* n_nonfinite = nullptr) {
  std::vector<float> values;
  int64_t total = 0;
  for (int64_t t = 0; t < scan.info().n_volumes; ++t) {
    int64_t n = 0;
    const Volume volume = scan.read(t, &n);
    values.insert(values.end(), volume.data.begin(), volume.data.end());
    total += n;
  }
  if (n_nonfinite != nullptr) *n_nonfinite = total;
  return values;
}

void copy_scan(const fs::path& from, const fs::path& to, const ScanWriter::Options& options) {
  ScanReader scan(from);
  ScanWriter writer(to, scan, options);
  for (int64_t t = 0; t < scan.info().n_volumes; ++t) writer.write(scan.read(t));
  writer.commit();
}

// Header fields of a file, machine order, through the checks.
nifti_2_header fields_of(const fs::path& path) {
  const test::Bytes bytes = test::read_unzipped(path);
  Findings findings;
  return check_header(std::as_bytes(std::span(bytes)), findings).value().fields;
}

// nibabel and nifticlib both compute a qform in double from the same float32 quaternion; sizes are below 100.
constexpr double kMatrixTolerance = 1e-5;

void check_matrix(const double (&m)[4][4], const nlohmann::json& reference) {
  for (size_t i = 0; i < 4; ++i) {
    for (size_t j = 0; j < 4; ++j) {
      CAPTURE(i, j);
      CHECK(m[i][j] == Approx(reference[i][j].get<double>()).margin(kMatrixTolerance));
    }
  }
}

Volume ramp(Size3 size) {
  Volume volume(size);
  for (size_t i = 0; i < volume.data.size(); ++i) volume.data[i] = static_cast<float>(i) - 7.25f;
  return volume;
}

Error error_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e;
  }
  FAIL("no error was thrown");
  throw;  // not reached
}

}  // namespace

TEST_CASE("scans written by nibabel are read as nibabel reads them") {
  REQUIRE(expected().size() >= 28);
  for (const auto& [name, e] : expected().items()) {
    DYNAMIC_SECTION(name) {
      ScanReader scan(kGolden / name);
      const ScanInfo& info = scan.info();
      CHECK(info.nifti_version == e["version"].get<int>());
      CHECK(info.byte_swapped == e["swapped"].get<bool>());
      CHECK(info.datatype_name() == e["datatype"].get<std::string>());
      REQUIRE(info.dim[0] == static_cast<int64_t>(e["shape"].size()));
      for (size_t i = 0; i < e["shape"].size(); ++i) CHECK(info.dim[i + 1] == e["shape"][i].get<int64_t>());
      for (size_t i = 0; i < 8; ++i) CHECK(info.pixdim[i] == e["pixdim"][i].get<double>());
      CHECK(info.qform_code == e["qform_code"].get<int>());
      CHECK(info.sform_code == e["sform_code"].get<int>());
      if (info.qform_code > 0) check_matrix(info.qform, e["qform"]);
      if (info.sform_code > 0) {
        check_matrix(info.sform, e["sform"]);
        check_matrix(info.affine(), e["sform"]);
      }
      if (info.qform_code > 0 || info.sform_code > 0) CHECK(info.orientation() == e["orientation"].get<std::string>());
      CHECK(info.space_unit() == "mm");
      CHECK(info.time_unit() == "s");
      REQUIRE(info.extensions.size() == e["extensions"].size());
      for (size_t i = 0; i < info.extensions.size(); ++i) {
        CHECK(info.extensions[i].code == e["extensions"][i][0].get<int>());
        CHECK(info.extensions[i].bytes == e["extensions"][i][1].get<int64_t>());
      }
      CHECK(scan.warnings().empty());

      int64_t n_nonfinite = -1;
      const std::vector<float> values = read_all(scan, &n_nonfinite);
      CHECK(n_nonfinite == e["nonfinite"].get<int64_t>());
      CHECK(values == e["data"].get<std::vector<float>>());
    }
  }
}

TEST_CASE("either file of a pair opens it") {
  ScanReader by_image(kGolden / "pair.img");
  CHECK(read_all(by_image) == expected()["pair.hdr"]["data"].get<std::vector<float>>());
  ScanReader by_gz_image(kGolden / "pair_gz.img.gz");
  CHECK(read_all(by_gz_image) == expected()["pair_gz.hdr.gz"]["data"].get<std::vector<float>>());
}

TEST_CASE("a scan without qform and sform is placed by its voxel size") {
  const ScanReader scan(kGolden / "no_forms.nii");
  CHECK(scan.info().orientation() == "RAS");
  CHECK(scan.info().affine()[1][1] == 1.0);
  CHECK_THAT(describe(scan), ContainsSubstring("not stated"));
}

TEST_CASE("volumes may be asked for in any order") {
  for (const char* name : {"four_d.nii.gz", "five_d.nii"}) {
    CAPTURE(name);
    ScanReader scan(kGolden / name);
    const std::vector<float> all = read_all(scan);
    const int64_t n = scan.info().size.voxels();
    for (const int64_t t : {scan.info().n_volumes - 1, int64_t{0}, int64_t{2}, int64_t{2}}) {
      const Volume volume = scan.read(t);
      CHECK(std::equal(volume.data.begin(), volume.data.end(), all.begin() + t * n));
    }
    CHECK(error_of([&] { scan.read(scan.info().n_volumes); }).status == Status::bad_usage);
    CHECK(error_of([&] { scan.read(-1); }).status == Status::bad_usage);
  }
}

TEST_CASE("gzip is recognised by content, whatever the name says") {
  const TemporaryFolder folder;
  fs::copy_file(kGolden / "placed.nii.gz", folder / "really_gzip.nii");
  fs::copy_file(kGolden / "int16.nii", folder / "really_plain.nii.gz");
  ScanReader gzip(folder / "really_gzip.nii"), plain(folder / "really_plain.nii.gz");
  CHECK(read_all(gzip) == expected()["placed.nii.gz"]["data"].get<std::vector<float>>());
  CHECK(read_all(plain) == expected()["int16.nii"]["data"].get<std::vector<float>>());
}

TEST_CASE("the voxels of an .img may begin with gzip's mark") {
  const TemporaryFolder folder;
  fs::copy_file(kGolden / "pair.hdr", folder / "scan.hdr");
  test::Bytes image = test::read_bytes(kGolden / "pair.img");
  image[0] = '\x1f', image[1] = '\x8b';
  test::write_bytes(folder / "scan.img", image);
  ScanReader scan(folder / "scan.hdr");
  CHECK(scan.read(0).data[0] == static_cast<float>(static_cast<int16_t>(0x8b1f)));
}

TEST_CASE("a copy keeps values, placement, units and extensions") {
  const TemporaryFolder folder;
  for (const auto& [name, e] : expected().items()) {
    for (const OutputType type : {OutputType::float32, OutputType::input}) {
      for (const std::string extension : {".nii", ".nii.gz", ".hdr", ".img.gz"}) {
        CAPTURE(name, static_cast<int>(type), extension);
        const fs::path out = folder / ("copy" + extension);
        ScanWriter::Options options;
        options.type = type;
        copy_scan(kGolden / name, out, options);
        ScanReader before(kGolden / name), after(out);
        const ScanInfo &a = before.info(), &b = after.info();
        CHECK(b.nifti_version == a.nifti_version);
        CHECK_FALSE(b.byte_swapped);
        CHECK(b.datatype_name() == (type == OutputType::input ? a.datatype_name() : "float32"));
        CHECK(std::equal(a.dim, a.dim + 8, b.dim));
        CHECK(std::equal(a.pixdim, a.pixdim + 8, b.pixdim));
        CHECK(b.qform_code == a.qform_code);
        CHECK(b.sform_code == a.sform_code);
        CHECK(std::memcmp(a.qform, b.qform, sizeof(a.qform)) == 0);
        CHECK(std::memcmp(a.sform, b.sform, sizeof(a.sform)) == 0);
        CHECK(b.xyzt_units == a.xyzt_units);
        REQUIRE(b.extensions.size() == a.extensions.size());
        CHECK(b.description == "srengine");
        CHECK(after.warnings().empty());
        // int64 and uint64 hold more digits than float32: their values survive, their stored integers need not.
        CHECK(read_all(after) == e["data"].get<std::vector<float>>());
      }
    }
  }
}

TEST_CASE("extensions are kept byte for byte") {
  const TemporaryFolder folder;
  copy_scan(kGolden / "extended.nii.gz", folder / "copy.nii", {});
  const test::Bytes before = test::read_unzipped(kGolden / "extended.nii.gz");
  const test::Bytes after = test::read_bytes(folder / "copy.nii");
  const auto begin = 348, end = static_cast<int>(fields_of(kGolden / "extended.nii.gz").vox_offset);
  REQUIRE(end > 352);
  CHECK(std::equal(before.begin() + begin, before.begin() + end, after.begin() + begin));
}

TEST_CASE("the rest of the header is kept, refreshed or zero, as docs/nifti.md says") {
  const TemporaryFolder folder;
  test::Bytes source = test::read_unzipped(kGolden / "placed.nii.gz");
  // What other programs leave in fields that NIfTI does not use.
  std::fill(source.begin() + 4, source.begin() + 39, 'x');
  std::fill(source.begin() + 140, source.begin() + 148, 'x');
  test::write_bytes(folder / "source.nii", source);
  ScanWriter::Options options;
  options.description = "srengine 1.2.3";
  copy_scan(folder / "source.nii", folder / "copy.nii", options);

  const nifti_2_header a = fields_of(folder / "source.nii"), b = fields_of(folder / "copy.nii");
  CHECK(double{b.intent_p1} == 12.0);
  CHECK(int{b.intent_code} == int{a.intent_code});
  CHECK(std::memcmp(b.intent_name, a.intent_name, sizeof(a.intent_name)) == 0);
  CHECK(std::string(b.aux_file) == "aux.txt");
  CHECK(b.dim_info == a.dim_info);
  CHECK(int64_t{b.slice_end} == 2);
  CHECK(int{b.slice_code} == 1);
  CHECK(double{b.slice_duration} == 0.25);
  CHECK(double{b.toffset} == 1.5);
  CHECK(double{b.quatern_b} == double{a.quatern_b});
  CHECK(std::string(b.descrip) == "srengine 1.2.3");
  CHECK(double{b.cal_min} == -32768.0);
  CHECK(double{b.cal_max} == 32767.0);
  CHECK(double{b.scl_slope} == 1.0);
  CHECK(double{b.scl_inter} == 0.0);
  CHECK(int{b.bitpix} == 32);
  const test::Bytes copy = test::read_bytes(folder / "copy.nii");
  CHECK(std::all_of(copy.begin() + 4, copy.begin() + 39, [](char c) { return c == 0; }));
  CHECK(std::all_of(copy.begin() + 140, copy.begin() + 148, [](char c) { return c == 0; }));
}

TEST_CASE("a long description is cut between characters") {
  const TemporaryFolder folder;
  ScanWriter::Options options;
  options.description = std::string(78, 'a') + "\xc3\xa4";  // the two bytes of one character would be 79 and 80
  copy_scan(kGolden / "int16.nii", folder / "copy.nii", options);
  CHECK(ScanReader(folder / "copy.nii").info().description == std::string(78, 'a'));
}

TEST_CASE("the input's datatype comes back rounded and clamped") {
  const TemporaryFolder folder;
  const ScanReader like(kGolden / "scaled.nii");  // int16, value = stored * 0.5 - 3.25
  Volume volume(like.info().size);
  const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
  const std::vector<float> given{-3.25f, -3.0f, -2.75f, 1e9f, -1e9f, infinity, -infinity, nan, 0.0f};
  std::copy(given.begin(), given.end(), volume.data.begin());
  ScanWriter::Options options;
  options.type = OutputType::input;
  ScanWriter writer(folder / "out.nii", like, options);
  writer.write(volume);
  writer.commit();

  const test::Bytes bytes = test::read_bytes(folder / "out.nii");
  std::vector<int16_t> stored(given.size());
  std::memcpy(stored.data(), bytes.data() + 352, stored.size() * sizeof(int16_t));
  // (0 + 3.25) / 0.5 = 6.5 goes to the even neighbour; NaN counts as 0.
  CHECK(stored == std::vector<int16_t>{0, 0, 1, 32767, -32768, 32767, -32768, 6, 6});
  // cal_min and cal_max are what a reader finds, not what was asked for.
  CHECK(double{fields_of(folder / "out.nii").cal_max} == 32767 * 0.5 - 3.25);
  CHECK(double{fields_of(folder / "out.nii").cal_min} == -32768 * 0.5 - 3.25);
}

TEST_CASE("64-bit integers are clamped at limits that float cannot express") {
  const TemporaryFolder folder;
  for (const std::string name : {"int64", "uint64"}) {
    const ScanReader like(kGolden / (name + ".nii"));
    Volume volume(like.info().size);
    volume.data[0] = 3e38f, volume.data[1] = -3e38f;
    ScanWriter::Options options;
    options.type = OutputType::input;
    ScanWriter writer(folder / "out.nii", like, options);
    writer.write(volume);
    writer.commit();
    const test::Bytes bytes = test::read_bytes(folder / "out.nii");
    uint64_t stored[2];
    std::memcpy(stored, bytes.data() + 352, sizeof(stored));
    CHECK(stored[0] == (name == "int64" ? uint64_t{INT64_MAX} : UINT64_MAX));
    CHECK(stored[1] == (name == "int64" ? static_cast<uint64_t>(INT64_MIN) : 0));
  }
}

TEST_CASE("another grid scales voxels and both forms and keeps the first voxel's centre") {
  const TemporaryFolder folder;
  const ScanReader like(kGolden / "placed.nii.gz");
  ScanWriter::Options options;
  options.grid = {6, 2, 5};  // k doubled, j halved, i as it was
  ScanWriter writer(folder / "out.nii.gz", like, options);
  writer.write(ramp(options.grid));
  writer.commit();
  ScanReader scan(folder / "out.nii.gz");
  const ScanInfo &a = like.info(), &b = scan.info();
  CHECK(b.size == options.grid);
  CHECK(scan.read(0).data == ramp(options.grid).data);
  const double ratio[4] = {1, 2, 0.5, 1};  // the last: the origin
  for (int j = 0; j < 4; ++j) {
    if (j < 3) CHECK(b.pixdim[j + 1] == Approx(a.pixdim[j + 1] * ratio[j]));
    for (int i = 0; i < 3; ++i) {
      CAPTURE(i, j);
      CHECK(b.sform[i][j] == Approx(a.sform[i][j] * ratio[j]).margin(kMatrixTolerance));
      CHECK(b.qform[i][j] == Approx(a.qform[i][j] * ratio[j]).margin(kMatrixTolerance));
    }
  }
  CHECK(b.qform_code == a.qform_code);
  CHECK(b.sform_code == a.sform_code);
  // The slices along k were acquired in an order that no longer means anything.
  CHECK(int{fields_of(folder / "out.nii.gz").slice_code} == 0);
  CHECK(double{fields_of(folder / "out.nii.gz").slice_duration} == 0.0);
}

TEST_CASE("a header made from nothing lies RAS around the origin") {
  const TemporaryFolder folder;
  const double voxel[3] = {0.5, 1, 2};
  const Size3 size{5, 4, 3};
  ScanWriter writer(folder / "phantom.nii.gz", size, voxel, {});
  writer.write(ramp(size));
  writer.commit();
  ScanReader scan(folder / "phantom.nii.gz");
  const ScanInfo& info = scan.info();
  CHECK(info.orientation() == "RAS");
  CHECK(info.space_unit() == "mm");
  CHECK(info.sform_code == 1);
  CHECK(info.qform_code == 1);
  const double origin[3] = {-0.5, -1.5, -4};
  for (int i = 0; i < 3; ++i) {
    for (int j = 0; j < 3; ++j) CHECK(info.sform[i][j] == (i == j ? voxel[i] : 0.0));
    CHECK(info.sform[i][3] == origin[i]);
    for (int j = 0; j < 4; ++j) CHECK(info.qform[i][j] == Approx(info.sform[i][j]).margin(1e-12));
  }
  CHECK(scan.read(0).data == ramp(size).data);
}

TEST_CASE("sizes beyond NIfTI-1 are written as NIfTI-2, with a warning") {
  const TemporaryFolder folder;
  const Size3 size{1, 1, 40000};
  const double voxel[3] = {1, 1, 1};
  ScanWriter writer(folder / "long.nii.gz", size, voxel, {});
  REQUIRE(writer.warnings().size() == 1);
  CHECK_THAT(writer.warnings()[0], ContainsSubstring("NIfTI-2"));
  writer.write(ramp(size));
  writer.commit();
  ScanReader scan(folder / "long.nii.gz");
  CHECK(scan.info().nifti_version == 2);
  CHECK(scan.info().size == size);
}

TEST_CASE("the same volume gives the same gzip file, of one member") {
  const TemporaryFolder folder;
  copy_scan(kGolden / "float32.nii", folder / "a.nii.gz", {});
  copy_scan(kGolden / "float32.nii", folder / "b.nii.gz", {});
  const test::Bytes a = test::read_bytes(folder / "a.nii.gz");
  CHECK(a == test::read_bytes(folder / "b.nii.gz"));
  // One inflate run ends exactly at the end of the file: viewers that know only one member read all of it.
  z_stream stream{};
  REQUIRE(::inflateInit2(&stream, 15 + 16) == Z_OK);
  test::Bytes out(1 << 16);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(a.data()));
  stream.avail_in = static_cast<uInt>(a.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(::inflate(&stream, Z_FINISH) == Z_STREAM_END);
  CHECK(stream.avail_in == 0);
  CHECK(stream.total_out == 352 + 60 * sizeof(float));
  ::inflateEnd(&stream);
}

TEST_CASE("a file appears at commit and not before, and nothing stays behind") {
  const TemporaryFolder folder;
  for (const std::string extension : {".nii", ".nii.gz", ".hdr"}) {
    CAPTURE(extension);
    const fs::path out = folder / ("out" + extension);
    {
      ScanReader scan(kGolden / "four_d.nii.gz");
      ScanWriter writer(out, scan, {});
      writer.write(scan.read(0));
      CHECK_FALSE(fs::exists(out));
    }
    CHECK(folder.n_files() == 0);
    {
      ScanReader scan(kGolden / "four_d.nii.gz");
      ScanWriter writer(out, scan, {});
      writer.write(scan.read(0));
      const Error e = error_of([&] { writer.commit(); });
      CHECK(e.status == Status::bad_output);
      CHECK_THAT(e.what(), ContainsSubstring("1 of 5 volumes"));
    }
    CHECK(folder.n_files() == 0);
    copy_scan(kGolden / "four_d.nii.gz", out, {});
    CHECK(folder.n_files() == (extension == ".hdr" ? 2 : 1));
    fs::remove_all(folder / "out.nii");
    fs::remove_all(folder / "out.nii.gz");
  }
}

TEST_CASE("an existing file is replaced at commit only") {
  const TemporaryFolder folder;
  test::write_bytes(folder / "out.nii", {'o', 'l', 'd'});
  ScanReader scan(kGolden / "int16.nii");
  ScanWriter writer(folder / "out.nii", scan, {});
  writer.write(scan.read(0));
  CHECK(test::read_bytes(folder / "out.nii").size() == 3);
  writer.commit();
  CHECK(test::read_bytes(folder / "out.nii").size() == 352 + 240);
}

TEST_CASE("a volume of another size or too many are errors") {
  const TemporaryFolder folder;
  ScanReader scan(kGolden / "int16.nii");
  ScanWriter writer(folder / "out.nii", scan, {});
  CHECK(error_of([&] { writer.write(Volume({1, 2, 3})); }).status == Status::bad_output);
  writer.write(scan.read(0));
  CHECK(error_of([&] { writer.write(scan.read(0)); }).status == Status::bad_output);
}

TEST_CASE("the mode of a new file follows the umask") {
  const TemporaryFolder folder;
  const mode_t before = ::umask(0027);
  copy_scan(kGolden / "int16.nii", folder / "out.nii", {});
  ::umask(before);
  struct stat status;
  REQUIRE(::stat((folder / "out.nii").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0640);
}

TEST_CASE("a place that cannot be written is named before anything is computed") {
  const TemporaryFolder folder;
  const ScanReader scan(kGolden / "int16.nii");
  const Error missing = error_of([&] { ScanWriter(folder / "no/such/out.nii", scan, {}); });
  CHECK(missing.status == Status::bad_output);
  CHECK_THAT(missing.what(), ContainsSubstring("no/such/out.nii") && ContainsSubstring("there is no folder"));
  fs::create_directory(folder / "out.nii");
  CHECK_THAT(error_of([&] { ScanWriter(folder / "out.nii", scan, {}); }).what(), ContainsSubstring("folder"));
  CHECK(error_of([&] { ScanWriter(folder / "out.png", scan, {}); }).status == Status::bad_usage);
  if (::geteuid() == 0) {
    WARN("skipped: root may write into every folder");
  } else {
    fs::permissions(folder.path(), fs::perms::owner_read | fs::perms::owner_exec);
    CHECK_THAT(error_of([&] { ScanWriter(folder / "new.nii", scan, {}); }).what(),
               ContainsSubstring("Permission denied"));
  }
}

// A limit on the size of files stands for a full disk: write() fails in the same way, with another errno.
TEST_CASE("a write that fails is one sentence and leaves nothing") {
  const TemporaryFolder folder;
  const Size3 size{64, 64, 64};
  const double voxel[3] = {1, 1, 1};
  const Volume volume = ramp(size);
  rlimit before;
  REQUIRE(::getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  for (const std::string name : {"out.nii", "out.nii.gz", "out.img"}) {
    CAPTURE(name);
    const rlimit small{100'000, before.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_FSIZE, &small) == 0);
    Status status = Status::ok;
    std::string sentence;
    try {
      ScanWriter writer(folder / name, size, voxel, {});
      writer.write(volume);
      writer.commit();
    } catch (const Error& e) {
      status = e.status;
      sentence = e.what();
    }
    ::setrlimit(RLIMIT_FSIZE, &before);
    CHECK(status == Status::bad_output);
    CHECK_THAT(sentence, ContainsSubstring("out.") && ContainsSubstring("cannot be written"));
    CHECK(folder.n_files() == 0);
  }
  std::signal(SIGXFSZ, handler);
}

TEST_CASE("names with spaces, other letters and capitals") {
  const TemporaryFolder folder;
  for (const std::string name : {"a scan.nii.gz", "Köpfchen №1.nii", "SCAN.NII.GZ", "dots.in.name.hdr"}) {
    CAPTURE(name);
    copy_scan(kGolden / "int16.nii", folder / name, {});
    ScanReader scan(folder / name);
    CHECK(read_all(scan) == expected()["int16.nii"]["data"].get<std::vector<float>>());
  }
  CHECK(split_scan_name("dir/scan.nii.gz").stem == fs::path("dir/scan"));
  CHECK(split_scan_name("dir/scan.nii.gz").extension == ".nii.gz");
  CHECK(split_scan_name("scan.v2.IMG").stem == fs::path("scan.v2"));
  CHECK(split_scan_name("scan.hdr.gz").extension == ".hdr.gz");
  for (const char* name : {"scan", "scan.mgz", "scan.gz", ".nii", "nii.gz", ""}) {
    CAPTURE(name);
    CHECK(error_of([&] { split_scan_name(name); }).status == Status::bad_usage);
  }
}

TEST_CASE("describe tells what was understood") {
  const std::string placed = describe(ScanReader(kGolden / "placed.nii.gz"));
  for (const char* text : {"placed.nii.gz", "NIfTI-1", "gzip", "5 x 4 x 3", "0.9 x 1.1 x 2.5 mm", "int16, no scaling",
                           "code 1 (Scanner Anat)", "code 4 (MNI_152)", "LAS", "made by nibabel", "-32768 to 32767"}) {
    CHECK_THAT(placed, ContainsSubstring(text));
  }
  CHECK_THAT(describe(ScanReader(kGolden / "scaled.nii")), ContainsSubstring("stored * 0.5 + -3.25"));
  CHECK_THAT(describe(ScanReader(kGolden / "nonfinite.nii")), ContainsSubstring("3 voxels, taken as 0"));
  CHECK_THAT(describe(ScanReader(kGolden / "five_d.nii")), ContainsSubstring("6 volumes (dim 2 x 3)"));
  CHECK_THAT(describe(ScanReader(kGolden / "nifti2_big_endian.nii.gz")),
             ContainsSubstring("NIfTI-2") && ContainsSubstring("other byte order"));
  CHECK_THAT(describe(ScanReader(kGolden / "extended.nii.gz")), ContainsSubstring("code 6, "));
}

TEST_CASE("real scans survive a copy") {
  const char* variable = std::getenv("SRENGINE_SHARED");
  const fs::path shared = variable != nullptr ? fs::path(variable) : fs::path(SR_TEST_DATA) / ".." / ".." / "shared";
  const fs::path scans = shared / "data" / "eval";
  if (!fs::is_directory(scans)) {
    WARN("skipped: no shared scans (set SRENGINE_SHARED to their folder)");
    return;
  }
  const TemporaryFolder folder;
  for (const auto& entry : fs::directory_iterator(scans)) {
    CAPTURE(entry.path());
    ScanWriter::Options options;
    options.type = OutputType::input;
    copy_scan(entry.path(), folder / "copy.nii.gz", options);
    ScanReader before(entry.path()), after(folder / "copy.nii.gz");
    CHECK(read_all(before) == read_all(after));
    CHECK(std::memcmp(before.info().affine(), after.info().affine(), sizeof(Affine)) == 0);
  }
}
