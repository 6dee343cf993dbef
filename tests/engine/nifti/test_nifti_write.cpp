// Scans out: what is kept of the input, what a file looks like before, at and instead of commit().
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstring>
#include <limits>

#include "tests/engine/nifti/nifti_helpers.h"

using namespace sr;
using namespace sr::test;

TEST_CASE("a copy keeps values, placement, units and extensions") {
  for (const auto& [name, e] : expected().items()) {
    for (const OutputType type : {OutputType::float32, OutputType::input}) {
      for (const std::string extension : {".nii", ".nii.gz", ".hdr", ".img.gz"}) {
        CAPTURE(name, static_cast<int>(type), extension);
        const TemporaryFolder folder;  // of its own: a plain pair beside a gzipped one is warned of
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
  const Bytes before = read_unzipped(kGolden / "extended.nii.gz");
  const Bytes after = read_bytes(folder / "copy.nii");
  const auto begin = 348, end = static_cast<int>(fields_of(kGolden / "extended.nii.gz").vox_offset);
  REQUIRE(end > 352);
  CHECK(std::equal(before.begin() + begin, before.begin() + end, after.begin() + begin));
}

TEST_CASE("the rest of the header is kept, refreshed or zero, as docs/nifti.md says") {
  const TemporaryFolder folder;
  Bytes source = read_unzipped(kGolden / "placed.nii.gz");
  // What other programs leave in fields that NIfTI does not use.
  std::fill(source.begin() + 4, source.begin() + 39, 'x');
  std::fill(source.begin() + 140, source.begin() + 148, 'x');
  write_bytes(folder / "source.nii", source);
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
  const Bytes copy = read_bytes(folder / "copy.nii");
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

  const Bytes bytes = read_bytes(folder / "out.nii");
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
    const Bytes bytes = read_bytes(folder / "out.nii");
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
  const Bytes a = read_bytes(folder / "a.nii.gz");
  CHECK(a == read_bytes(folder / "b.nii.gz"));
  // One inflate run ends exactly at the end of the file: viewers that know only one member read all of it.
  z_stream stream{};
  REQUIRE(::inflateInit2(&stream, 15 + 16) == Z_OK);
  Bytes out(1 << 16);
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
  write_bytes(folder / "out.nii", {'o', 'l', 'd'});
  ScanReader scan(kGolden / "int16.nii");
  ScanWriter writer(folder / "out.nii", scan, {});
  writer.write(scan.read(0));
  CHECK(read_bytes(folder / "out.nii").size() == 3);
  writer.commit();
  CHECK(read_bytes(folder / "out.nii").size() == 352 + 240);
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

TEST_CASE("only a regular file is replaced by a result") {
  const TemporaryFolder folder;
  const ScanReader scan(kGolden / "int16.nii");
  REQUIRE(::mkfifo((folder / "pipe.nii").c_str(), 0600) == 0);
  REQUIRE(::mkfifo((folder / "pair.img").c_str(), 0600) == 0);
  fs::create_symlink("pipe.nii", folder / "link.nii");
  fs::create_symlink("/dev/null", folder / "null.nii.gz");
  const size_t before = folder.n_files();
  for (const auto& [given, named] : {std::pair{"pipe.nii", "pipe.nii"}, std::pair{"pair.hdr", "pair.img"},
                                     std::pair{"link.nii", "link.nii"}, std::pair{"null.nii.gz", "null.nii.gz"}}) {
    CAPTURE(given);
    const Error e = error_of([&] { ScanWriter(folder / given, scan, {}); });
    CHECK(e.status == Status::bad_output);
    CHECK_THAT(e.what(), ContainsSubstring(std::string(named) + " cannot be written: it is not a regular file"));
  }
  CHECK(folder.n_files() == before);
  // A link to a regular file is replaced by the result, and the file it led to stays.
  write_bytes(folder / "kept.nii", {'o', 'l', 'd'});
  fs::create_symlink("kept.nii", folder / "result.nii");
  copy_scan(kGolden / "int16.nii", folder / "result.nii", {});
  CHECK(fs::is_regular_file(fs::symlink_status(folder / "result.nii")));
  CHECK(read_bytes(folder / "kept.nii").size() == 3);
}

TEST_CASE("a result's name may be as long as a file system allows") {
  const TemporaryFolder folder;
  for (const std::string extension : {".nii", ".nii.gz", ".hdr"}) {
    const std::string name = std::string(255 - extension.size(), 'x') + extension;
    copy_scan(kGolden / "int16.nii", folder / name, {});
    CHECK(ScanReader(folder / name).info().size == ScanReader(kGolden / "int16.nii").info().size);
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
