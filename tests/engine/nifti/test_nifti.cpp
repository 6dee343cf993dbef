// Scans in: what is read of files written by nibabel (golden/nifti, made by make_fixtures.py there).
#include <cstdlib>
#include <cstring>

#include "engine/nifti/nifti_describe.h"
#include "tests/engine/nifti/nifti_helpers.h"

using namespace sr;
using namespace sr::test;

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

// A plain pair and a gzipped one of the same stem, with different voxels.
TEST_CASE("of two pairs with one stem the file that was named is read") {
  const TemporaryFolder folder;
  fs::copy_file(kGolden / "pair.hdr", folder / "scan.hdr");
  fs::copy_file(kGolden / "pair.img", folder / "scan.img");
  Bytes other = read_bytes(kGolden / "pair.img");
  other[0] ^= 1;
  write_bytes(folder / "scan.hdr.gz", gzip(read_bytes(kGolden / "pair.hdr")));
  write_bytes(folder / "scan.img.gz", gzip(other));
  const float plain_value = ScanReader(kGolden / "pair.hdr").read(0).data[0];
  struct Case {
    const char *named, *warning;
    bool plain;
  };
  for (const Case& c : {Case{"scan.img", "scan.img has both scan.hdr and scan.hdr.gz beside it", true},
                        Case{"scan.img.gz", "scan.img.gz has both scan.hdr.gz and scan.hdr beside it", false},
                        Case{"scan.hdr", "scan.hdr has both scan.img and scan.img.gz beside it", true},
                        Case{"scan.hdr.gz", "scan.hdr.gz has both scan.img.gz and scan.img beside it", false}}) {
    CAPTURE(c.named);
    ScanReader scan(folder / c.named);
    CHECK((scan.read(0).data[0] == plain_value) == c.plain);
    CHECK(scan.compressed() != c.plain);
    REQUIRE(scan.warnings().size() == 1);
    CHECK_THAT(scan.warnings()[0], ContainsSubstring(c.warning));
  }
  // One header for both images: the named image is read without a word.
  fs::remove(folder / "scan.hdr.gz");
  ScanReader scan(folder / "scan.img.gz");
  CHECK(scan.read(0).data[0] != plain_value);
  CHECK(scan.warnings().empty());
  // One image, compressed otherwise than its header.
  fs::remove(folder / "scan.img");
  CHECK(ScanReader(folder / "scan.hdr").compressed());
  CHECK(ScanReader(folder / "scan.hdr").warnings().empty());
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
  Bytes image = read_bytes(kGolden / "pair.img");
  image[0] = '\x1f', image[1] = '\x8b';
  write_bytes(folder / "scan.img", image);
  ScanReader scan(folder / "scan.hdr");
  CHECK(scan.read(0).data[0] == static_cast<float>(static_cast<int16_t>(0x8b1f)));
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
