// Files that lie. Each must be refused with one sentence that names it, or read, without memory beyond its real size.
#include <fmt/format.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <limits>
#include <random>

#include "engine/nifti/nifti.h"
#include "engine/nifti/nifti_check.h"
#include "engine/nifti/nifti_describe.h"
#include "tests/support/catch.h"
#include "tests/support/largest_request.h"
#include "tests/support/scan_files.h"

using namespace sr;
using test::Bytes;
using test::largest_request;
using test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

const fs::path kGolden = fs::path(SR_TEST_DATA) / "golden" / "nifti";
// Fixed buffers of the reader: a MiB of raw voxels.
constexpr size_t kBuffers = size_t{2} << 20;

template <class T>
void put(Bytes& bytes, size_t offset, T value) {
  REQUIRE(offset + sizeof(T) <= bytes.size());
  std::memcpy(bytes.data() + offset, &value, sizeof(T));
}

// Opens and reads everything; the sentence of the refusal, "" if there was none. The file's name must be in it.
std::string read_or_refuse(const fs::path& path) {
  try {
    ScanReader scan(path);
    for (int64_t t = 0; t < scan.info().n_volumes; ++t) scan.read(t);
    return "";
  } catch (const Error& e) {
    REQUIRE(e.status == Status::bad_input);
    REQUIRE_THAT(e.what(), ContainsSubstring(path.stem().string()));
    REQUIRE(std::string(e.what()).find('\n') == std::string::npos);
    return e.what();
  }
}

std::string read_or_refuse(const TemporaryFolder& folder, const Bytes& bytes, const std::string& name = "scan.nii") {
  test::write_bytes(folder / name, bytes);
  return read_or_refuse(folder / name);
}

// Offsets of NIfTI-1 fields.
enum : size_t {
  kSizeofHdr = 0,
  kDim = 40,
  kIntent = 68,
  kDatatype = 70,
  kBitpix = 72,
  kPixdim = 76,
  kVoxOffset = 108,
  kSlope = 112,
  kInter = 116,
  kUnits = 123,
  kQformCode = 252,
  kSformCode = 254,
  kQuatern = 256,
  kSrow = 280,
  kMagic = 344,
};

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("each damaged field of a NIfTI-1 header is named") {
  struct Case {
    const char* what;
    std::function<void(Bytes&)> damage;
    const char* message;  // part of the sentence; "" for damage that the scan survives with a warning
  };
  const Case cases[] = {
      {"sizeof_hdr", [](Bytes& b) { put(b, kSizeofHdr, int32_t{347}); }, "is not a NIfTI file"},
      {"dim[0] 0", [](Bytes& b) { put(b, kDim, int16_t{0}); }, "has 0 dimensions"},
      {"dim[0] 8", [](Bytes& b) { put(b, kDim, int16_t{8}); }, "has 8 dimensions"},
      {"dim[0] negative", [](Bytes& b) { put(b, kDim, int16_t{-3}); }, "has -3 dimensions"},
      {"dim[1] 0", [](Bytes& b) { put(b, kDim + 2, int16_t{0}); }, "is empty: dim[1] is 0"},
      {"dim[3] negative", [](Bytes& b) { put(b, kDim + 6, int16_t{-1}); }, "dim[3] = -1"},
      {"dim[2] too large", [](Bytes& b) { put(b, kDim + 4, int16_t{5}); }, "ends after 472 of 502 bytes"},
      {"more dimensions",
       [](Bytes& b) {
         put(b, kDim, int16_t{7});
         for (size_t i = 1; i < 8; ++i) put(b, kDim + 2 * i, int16_t{32767});
       },
       "more voxels than any file can hold"},
      {"datatype", [](Bytes& b) { put(b, kDatatype, int16_t{5}); }, "has datatype 5"},
      {"datatype 0", [](Bytes& b) { put(b, kDatatype, int16_t{0}); }, "has datatype 0"},
      {"binary", [](Bytes& b) { put(b, kDatatype, int16_t{1}); }, "binary"},
      {"float128", [](Bytes& b) { put(b, kDatatype, int16_t{1536}); }, "float128"},
      {"complex128", [](Bytes& b) { put(b, kDatatype, int16_t{1792}); }, "complex128"},
      {"complex256", [](Bytes& b) { put(b, kDatatype, int16_t{2048}); }, "complex256"},
      {"rgba", [](Bytes& b) { put(b, kDatatype, int16_t{2304}); }, "rgba32"},
      {"bitpix", [](Bytes& b) { put(b, kBitpix, int16_t{7}); }, ""},
      {"vox_offset NaN", [](Bytes& b) { put(b, kVoxOffset, kNan); }, "vox_offset"},
      {"vox_offset infinite", [](Bytes& b) { put(b, kVoxOffset, kInfinity); }, "vox_offset"},
      {"vox_offset negative", [](Bytes& b) { put(b, kVoxOffset, -352.0f); }, "vox_offset"},
      {"vox_offset fractional", [](Bytes& b) { put(b, kVoxOffset, 352.5f); }, "vox_offset"},
      {"vox_offset huge", [](Bytes& b) { put(b, kVoxOffset, 3e38f); }, "vox_offset"},
      {"vox_offset large", [](Bytes& b) { put(b, kVoxOffset, 1e15f); }, "ends after 472 of"},
      {"vox_offset 0", [](Bytes& b) { put(b, kVoxOffset, 0.0f); }, "vox_offset 0, inside the header"},
      {"vox_offset 348", [](Bytes& b) { put(b, kVoxOffset, 348.0f); }, ""},
      {"pixdim NaN", [](Bytes& b) { put(b, kPixdim + 4, kNan); }, "pixdim[1]"},
      {"pixdim infinite", [](Bytes& b) { put(b, kPixdim + 12, kInfinity); }, "pixdim[3]"},
      {"pixdim 0", [](Bytes& b) { put(b, kPixdim + 8, 0.0f); }, ""},
      {"pixdim negative", [](Bytes& b) { put(b, kPixdim + 8, -1.0f); }, ""},
      {"slope infinite", [](Bytes& b) { put(b, kSlope, kInfinity); }, "scl_slope"},
      {"inter NaN", [](Bytes& b) { put(b, kSlope, 2.0f), put(b, kInter, kNan); }, "scl_inter"},
      {"slope and inter NaN, as nibabel writes them", [](Bytes& b) { put(b, kSlope, kNan), put(b, kInter, kNan); }, ""},
      {"units", [](Bytes& b) { put(b, kUnits, '\xff'); }, ""},
      {"intent: labels", [](Bytes& b) { put(b, kIntent, int16_t{1002}); }, ""},
      {"intent: deformation", [](Bytes& b) { put(b, kIntent, int16_t{1006}); }, "holds a deformation field"},
      {"intent: vectors", [](Bytes& b) { put(b, kIntent, int16_t{1007}); }, "holds a field of vectors"},
      {"intent: first of CIFTI", [](Bytes& b) { put(b, kIntent, int16_t{3000}); }, "is a CIFTI file (intent 3000)"},
      {"intent: last of CIFTI", [](Bytes& b) { put(b, kIntent, int16_t{3099}); }, "is a CIFTI file (intent 3099)"},
      {"qform_code", [](Bytes& b) { put(b, kQformCode, int16_t{77}); }, ""},
      {"quaternion NaN", [](Bytes& b) { put(b, kQformCode, int16_t{1}), put(b, kQuatern, kNan); }, "qform"},
      {"quaternion too long", [](Bytes& b) { put(b, kQformCode, int16_t{1}), put(b, kQuatern, 9.0f); }, ""},
      {"qoffset infinite", [](Bytes& b) { put(b, kQformCode, int16_t{1}), put(b, kQuatern + 12, kInfinity); }, "qform"},
      {"qfac", [](Bytes& b) { put(b, kQformCode, int16_t{1}), put(b, kPixdim, 0.3f); }, ""},
      {"sform_code", [](Bytes& b) { put(b, kSformCode, int16_t{-1}); }, ""},
      {"srow NaN", [](Bytes& b) { put(b, kSrow + 20, kNan); }, "sform"},
      {"srow singular", [](Bytes& b) { std::fill_n(b.begin() + kSrow, 16, '\0'); }, ""},
      {"magic", [](Bytes& b) { put(b, kMagic, 'x'); }, "mark"},
      {"magic of a pair", [](Bytes& b) { put(b, kMagic + 1, 'i'); }, "rename it to .hdr"},
      {"no magic", [](Bytes& b) { put(b, kMagic, int32_t{0}); }, "ANALYZE 7.5"},
  };
  const TemporaryFolder folder;
  for (const Case& c : cases) {
    CAPTURE(c.what);
    Bytes bytes = test::read_bytes(kGolden / "int16.nii");
    c.damage(bytes);
    largest_request = 0;
    const std::string sentence = read_or_refuse(folder, bytes);
    CHECK(largest_request < kBuffers);
    if (*c.message != '\0') {
      CHECK_THAT(sentence, ContainsSubstring(c.message));
      continue;
    }
    CHECK(sentence == "");
    const ScanReader scan(folder / "scan.nii");
    const bool silent = std::string(c.what).find("nibabel") != std::string::npos;
    CHECK(scan.warnings().size() == (silent ? 0 : c.what == std::string("vox_offset 348") ? 2 : 1));
    // The header goes on to the output and into `info` without trouble.
    ScanWriter(folder / "copy.nii", scan, {}).write(Volume(scan.info().size));
    CHECK_THAT(describe(scan), ContainsSubstring("5 x 4 x 3"));
  }
}

TEST_CASE("each damaged field of a NIfTI-2 header is named") {
  struct Case {
    const char* what;
    std::function<void(Bytes&)> damage;
    const char* message;
  };
  const Case cases[] = {
      {"magic", [](Bytes& b) { b[5] = 'x'; }, "mark n+2 or ni2"},
      {"line ends", [](Bytes& b) { b[8] = '\n'; }, "rewrites line ends"},
      {"dim[0]", [](Bytes& b) { put(b, 16, int64_t{1} << 40); }, "dimensions"},
      {"dim[1] beyond int", [](Bytes& b) { put(b, 24, int64_t{1} << 33); }, "more than 2147483647"},
      {"dim[1] huge", [](Bytes& b) { put(b, 24, int64_t{0x7fffffff}); }, "ends after 664 of"},
      {"product overflows",
       [](Bytes& b) {
         for (size_t i = 1; i <= 3; ++i) put(b, 16 + 8 * i, int64_t{0x7fffffff});
       },
       "more voxels than any file can hold"},
      {"dim[3] most negative", [](Bytes& b) { put(b, 40, INT64_MIN); }, "less than 1"},
      {"vox_offset negative", [](Bytes& b) { put(b, 168, int64_t{-1}); }, "vox_offset"},
      {"vox_offset huge", [](Bytes& b) { put(b, 168, INT64_MAX); }, "vox_offset"},
      {"vox_offset inside", [](Bytes& b) { put(b, 168, int64_t{352}); }, "inside the header of 540"},
      {"slope infinite", [](Bytes& b) { put(b, 176, std::numeric_limits<double>::infinity()); }, "scl_slope"},
  };
  const TemporaryFolder folder;
  for (const Case& c : cases) {
    CAPTURE(c.what);
    Bytes bytes = test::read_bytes(kGolden / "nifti2.nii");
    c.damage(bytes);
    largest_request = 0;
    CHECK_THAT(read_or_refuse(folder, bytes), ContainsSubstring(c.message));
    CHECK(largest_request < kBuffers);
  }
}

TEST_CASE("what is not supported is refused by name") {
  CHECK_THAT(read_or_refuse(kGolden / "refused_complex64.nii"), ContainsSubstring("complex64"));
  CHECK_THAT(read_or_refuse(kGolden / "refused_rgb24.nii"), ContainsSubstring("rgb24"));
  CHECK_THAT(read_or_refuse(kGolden / "refused_analyze.hdr"), ContainsSubstring("ANALYZE 7.5"));
  CHECK_THAT(read_or_refuse(kGolden / "refused_analyze.img"), ContainsSubstring("ANALYZE 7.5"));
}

TEST_CASE("intents beside those of other kinds are scans; a CIFTI extension is refused whatever the intent") {
  const TemporaryFolder folder;
  Bytes bytes = test::read_bytes(kGolden / "int16.nii");
  for (const int16_t code : {int16_t{1005}, int16_t{1008}, int16_t{2999}, int16_t{3100}}) {
    CAPTURE(code);
    put(bytes, kIntent, code);
    CHECK(read_or_refuse(folder, bytes) == "");
    CHECK(ScanReader(folder / "scan.nii").warnings().empty());
  }
  Bytes extended(bytes.begin(), bytes.begin() + 348);
  put(extended, kVoxOffset, 368.0f);
  extended.insert(extended.end(), {1, 0, 0, 0});  // an extension follows: 16 bytes, 8 of them its own header
  extended.resize(368);
  put(extended, 352, int32_t{16}), put(extended, 356, int32_t{6});  // a comment
  extended.insert(extended.end(), bytes.begin() + 352, bytes.end());
  CHECK(read_or_refuse(folder, extended) == "");
  put(extended, 356, int32_t{32});
  CHECK_THAT(read_or_refuse(folder, extended), ContainsSubstring("is a CIFTI file (extension 32)"));
}

TEST_CASE("files that are no files") {
  const TemporaryFolder folder;
  CHECK_THAT(read_or_refuse(folder / "missing.nii"), ContainsSubstring("does not exist"));
  fs::create_directory(folder / "folder.nii");
  CHECK_THAT(read_or_refuse(folder / "folder.nii"), ContainsSubstring("is a folder"));
  CHECK_THAT(read_or_refuse(folder, {}, "empty.nii"), ContainsSubstring("is empty"));
  CHECK_THAT(read_or_refuse(folder, test::gzip({}), "nothing.nii.gz"), ContainsSubstring("is not a NIfTI file"));
  REQUIRE(::mkfifo((folder / "pipe.nii").c_str(), 0600) == 0);
  CHECK_THAT(read_or_refuse(folder / "pipe.nii"), ContainsSubstring("not a regular file"));
  CHECK_THAT(read_or_refuse("/dev/zero"), ContainsSubstring("not a regular file"));
  if (::geteuid() == 0) {
    WARN("skipped: root may read every file");
  } else {
    test::write_bytes(folder / "secret.nii", {'x'});
    fs::permissions(folder / "secret.nii", fs::perms::none);
    CHECK_THAT(read_or_refuse(folder / "secret.nii"), ContainsSubstring("Permission denied"));
  }
}

TEST_CASE("a pair with a part missing, or with the wrong marks") {
  const TemporaryFolder folder;
  fs::copy_file(kGolden / "pair.hdr", folder / "alone.hdr");
  CHECK_THAT(read_or_refuse(folder / "alone.hdr"), ContainsSubstring("no .img file"));
  fs::copy_file(kGolden / "pair.img", folder / "headless.img");
  CHECK_THAT(read_or_refuse(folder / "headless.img"), ContainsSubstring("no .hdr file"));
  fs::copy_file(kGolden / "int16.nii", folder / "single.hdr");
  CHECK_THAT(read_or_refuse(folder / "single.hdr"), ContainsSubstring("rename it to .nii"));
  Bytes header = test::read_bytes(kGolden / "pair.hdr");
  const Bytes image = test::read_bytes(kGolden / "pair.img");
  put(header, kVoxOffset, 16.0f);
  test::write_bytes(folder / "shifted.hdr", header);
  test::write_bytes(folder / "shifted.img", image);
  CHECK_THAT(read_or_refuse(folder / "shifted.hdr"), ContainsSubstring("shifted.img ends after 120 of 136 bytes"));
}

TEST_CASE("400 bytes that claim 18 GB") {
  const TemporaryFolder folder;
  Bytes bytes = test::read_bytes(kGolden / "int16.nii");
  bytes.resize(400);
  put(bytes, kDim + 2, int16_t{3000}), put(bytes, kDim + 4, int16_t{3000}), put(bytes, kDim + 6, int16_t{1000});
  largest_request = 0;
  CHECK_THAT(read_or_refuse(folder, bytes), ContainsSubstring("ends after 400 of 18000000352 bytes"));
  CHECK_THAT(read_or_refuse(folder, test::gzip(bytes), "scan.nii.gz"), ContainsSubstring("claims 18000000352 bytes"));
  CHECK(largest_request < kBuffers);
}

TEST_CASE("a volume larger than the machine's memory is refused") {
  const TemporaryFolder folder;
  Bytes bytes = test::read_bytes(kGolden / "uint8.nii");
  const int16_t side = 10'000;  // 1 TB as uint8, 4 TB as float32
  for (size_t i = 1; i <= 3; ++i) put(bytes, kDim + 2 * i, side);
  test::write_bytes(folder / "scan.nii", bytes);
  std::error_code error;
  fs::resize_file(folder / "scan.nii", 352 + 1'000'000'000'000u, error);  // sparse: takes no space
  if (error) {
    WARN("skipped: no sparse files of 1 TB in the temporary folder");
    return;
  }
  largest_request = 0;
  CHECK_THAT(read_or_refuse(folder / "scan.nii"), ContainsSubstring("needs 4000.0 GB of memory"));
  CHECK(largest_request < kBuffers);
}

TEST_CASE("a gzip file within deflate's limit is counted before memory is set aside") {
  const TemporaryFolder folder;
  Bytes bytes = test::read_bytes(kGolden / "uint8.nii");
  // Noise, so that the whole shrinks to a 600th and not to the thousandth that zeros alone would reach.
  std::mt19937 random(1032);
  for (int i = 0; i < 30'000; ++i) bytes.push_back(static_cast<char>(random()));
  bytes.resize(40'000'412, '\0');
  const Bytes small = test::gzip(bytes);
  REQUIRE(small.size() < 100'000);
  // 41 MB of voxels, a little more than there are: 164 MB as float32.
  put(bytes, kDim + 2, int16_t{400}), put(bytes, kDim + 4, int16_t{400}), put(bytes, kDim + 6, int16_t{256});
  const Bytes bomb = test::gzip(bytes);
  largest_request = 0;
  CHECK_THAT(read_or_refuse(folder, bomb, "scan.nii.gz"), ContainsSubstring("ends after 40000412 of 40960352 bytes"));
  CHECK(largest_request < kBuffers);
  // The honest claim of the same file is read.
  put(bytes, kDim + 6, int16_t{250});
  CHECK(read_or_refuse(folder, test::gzip(bytes), "scan.nii.gz") == "");
}

TEST_CASE("files cut at every length") {
  const TemporaryFolder folder;
  for (const std::string name : {"int16.nii", "nifti2.nii", "float32_big_endian.nii", "placed.nii.gz",
                                 "extended.nii.gz", "nifti2_big_endian.nii.gz"}) {
    const Bytes whole = test::read_bytes(kGolden / name);
    largest_request = 0;
    for (size_t n = 0; n < whole.size(); ++n) {
      CAPTURE(name, n);
      const std::string sentence =
          read_or_refuse(folder, Bytes(whole.begin(), whole.begin() + static_cast<ptrdiff_t>(n)), name);
      CHECK(sentence != "");
    }
    CHECK(largest_request < kBuffers);
  }
  const Bytes whole = test::read_bytes(kGolden / "placed.nii.gz");
  CHECK_THAT(read_or_refuse(folder, Bytes(whole.begin(), whole.end() - 20), "placed.nii.gz"),
             ContainsSubstring("placed.nii.gz ends after ") && ContainsSubstring(" of 472 bytes"));
  // The last eight bytes are the checksum and the length.
  for (const ptrdiff_t missing : {1, 4, 8}) {
    CHECK_THAT(read_or_refuse(folder, Bytes(whole.begin(), whole.end() - missing), "placed.nii.gz"),
               ContainsSubstring("placed.nii.gz is cut short"));
  }
}

TEST_CASE("a pair's gzipped header, cut or damaged at its end, is refused") {
  const TemporaryFolder folder;
  const Bytes header = test::gzip(test::read_bytes(kGolden / "pair.hdr"));
  fs::copy_file(kGolden / "pair.img", folder / "scan.img");
  CHECK(read_or_refuse(folder, header, "scan.hdr.gz") == "");
  for (const ptrdiff_t missing : {1, 4, 8}) {
    CHECK_THAT(read_or_refuse(folder, Bytes(header.begin(), header.end() - missing), "scan.hdr.gz"),
               ContainsSubstring("scan.hdr.gz is cut short"));
  }
  Bytes damaged = header;
  damaged[damaged.size() - 6] ^= 1;
  CHECK_THAT(read_or_refuse(folder, damaged, "scan.hdr.gz"), ContainsSubstring("is damaged"));
}

TEST_CASE("a gzip file whose checksum is wrong is damaged") {
  const TemporaryFolder folder;
  Bytes bytes = test::read_bytes(kGolden / "placed.nii.gz");
  bytes[bytes.size() - 6] ^= 1;
  CHECK_THAT(read_or_refuse(folder, bytes, "scan.nii.gz"), ContainsSubstring("is damaged after"));
  // A MiB of noise behind the last voxel: the checksum stands behind that.
  bytes = test::read_bytes(kGolden / "int16.nii");
  std::mt19937 random(1);
  for (int i = 0; i < 1 << 20; ++i) bytes.push_back(static_cast<char>(random()));
  Bytes longer = test::gzip(bytes);
  CHECK(read_or_refuse(folder, longer, "scan.nii.gz") == "");
  CHECK_THAT(read_or_refuse(folder, Bytes(longer.begin(), longer.end() - 1000), "scan.nii.gz"),
             ContainsSubstring("is cut short"));
  longer[longer.size() - 6] ^= 1;
  CHECK_THAT(read_or_refuse(folder, longer, "scan.nii.gz"), ContainsSubstring("is damaged after"));
}

TEST_CASE("a gzip file of several members, and one with padding") {
  const TemporaryFolder folder;
  const Bytes whole = test::read_bytes(kGolden / "int16.nii");
  const std::vector<float> values = ScanReader(kGolden / "int16.nii").read(0).data;
  // Cut inside the header, between header and voxels, and inside the voxels; the last member is empty.
  Bytes members;
  size_t begin = 0;
  for (const size_t end : {size_t{100}, size_t{352}, size_t{401}, whole.size(), whole.size()}) {
    const Bytes member =
        test::gzip(Bytes(whole.begin() + static_cast<ptrdiff_t>(begin), whole.begin() + static_cast<ptrdiff_t>(end)));
    members.insert(members.end(), member.begin(), member.end());
    begin = end;
  }
  Bytes padded = members;
  padded.resize(padded.size() + 5000, '\0');  // as tapes and bgzip's relatives fill blocks
  for (const Bytes& bytes : {members, padded}) {
    test::write_bytes(folder / "scan.nii.gz", bytes);
    ScanReader scan(folder / "scan.nii.gz");
    CHECK(scan.read(0).data == values);
    CHECK(scan.read(0).data == values);
  }
  for (size_t n = 0; n < members.size(); ++n) {
    // Between its two magic bytes and at its start the last, empty, member is not there.
    const size_t last = members.size() - test::gzip({}).size();
    if (n == last || n == last + 1) continue;
    CAPTURE(n);
    CHECK(read_or_refuse(folder, Bytes(members.begin(), members.begin() + static_cast<ptrdiff_t>(n)), "scan.nii.gz") !=
          "");
  }
}

TEST_CASE("a gzip file that goes on far behind its last voxel is refused") {
  const TemporaryFolder folder;
  Bytes bytes = test::read_bytes(kGolden / "int16.nii");
  const size_t size = bytes.size();
  bytes.resize(size + (size_t{63} << 20), '\0');
  CHECK(read_or_refuse(folder, test::gzip(bytes), "scan.nii.gz") == "");
  bytes.resize(size + (size_t{65} << 20), '\0');
  const Bytes bomb = test::gzip(bytes);
  largest_request = 0;
  CHECK_THAT(read_or_refuse(folder, bomb, "scan.nii.gz"),
             ContainsSubstring("more than 67108864 bytes behind its last voxel"));
  CHECK(largest_request < kBuffers);
}

TEST_CASE("extensions that lie about their size are left out") {
  const TemporaryFolder folder;
  const Bytes honest = test::read_unzipped(kGolden / "extended.nii.gz");
  const std::vector<float> values = ScanReader(kGolden / "extended.nii.gz").read(0).data;
  for (const int32_t esize : {-1, 1, 7, 1 << 20, INT32_MAX, INT32_MIN}) {
    for (const bool compressed : {false, true}) {
      CAPTURE(esize, compressed);
      Bytes bytes = honest;
      put(bytes, 352, esize);
      test::write_bytes(folder / "scan.nii", compressed ? test::gzip(bytes) : bytes);
      largest_request = 0;
      ScanReader scan(folder / "scan.nii");
      CHECK(largest_request < kBuffers);
      CHECK(scan.info().extensions.empty());
      REQUIRE(scan.warnings().size() == 1);
      CHECK_THAT(scan.warnings()[0], ContainsSubstring("extension"));
      CHECK(scan.read(0).data == values);
    }
  }
  // The end of a pair's header is the end of its extensions.
  Bytes header = test::read_bytes(kGolden / "pair.hdr");
  header.insert(header.end(), {1, 0, 0, 0, 64, 0, 0, 0, 6, 0, 0, 0, 'x'});
  test::write_bytes(folder / "pair.hdr", header);
  fs::copy_file(kGolden / "pair.img", folder / "pair.img");
  CHECK(ScanReader(folder / "pair.hdr").warnings().size() == 1);
}

// Random damage to real headers: whatever it does, the file is refused or read. The seed is fixed, so case 123 of a
// failing run is case 123 of the next.
TEST_CASE("20,000 random headers") {
  const TemporaryFolder folder;
  const Bytes originals[] = {
      test::read_bytes(kGolden / "int16.nii"), test::read_bytes(kGolden / "float64_big_endian.nii"),
      test::read_bytes(kGolden / "nifti2.nii"), test::read_unzipped(kGolden / "extended.nii.gz")};
  std::mt19937 random(20031217);
  const auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  // Values at which conversions break, and plain noise.
  const char interesting[] = {'\x00', '\x01', '\x7f', '\x80', '\xff', '\xfe', '\x40', '\x47'};
  int n_read = 0, n_refused = 0;
  largest_request = 0;
  const std::clock_t start = std::clock();
  for (int i = 0; i < 20'000; ++i) {
    Bytes bytes = originals[below(std::size(originals))];
    const size_t header_end = std::min<size_t>(bytes.size(), 560);
    for (size_t n = 1 + below(6); n > 0; --n) {
      // Runs of 1, 2, 4 or 8 bytes, so that whole numbers are hit; sizeof_hdr is spared most of the time.
      const size_t run = size_t{1} << below(4);
      const size_t offset = below(header_end - run);
      if (offset < 4 && below(8) != 0) continue;
      for (size_t j = 0; j < run; ++j) {
        bytes[offset + j] = below(2) ? interesting[below(std::size(interesting))] : static_cast<char>(below(256));
      }
    }
    INFO("case " << i);
    const bool compressed = below(4) == 0;
    const std::string sentence = read_or_refuse(folder, compressed ? test::gzip(bytes) : bytes);
    (sentence.empty() ? n_read : n_refused) += 1;
    if (sentence.empty() && i % 16 == 0) {
      ScanReader scan(folder / "scan.nii");
      CHECK_FALSE(describe(scan).empty());
      ScanWriter::Options options;
      options.type = OutputType::input;
      ScanWriter writer(folder / "copy.nii.gz", scan, options);
      for (int64_t t = 0; t < scan.info().n_volumes; ++t) writer.write(scan.read(t));
      writer.commit();
      CHECK_NOTHROW(ScanReader(folder / "copy.nii.gz"));
    }
  }
  const double seconds = static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC;
  WARN(fmt::format("{} read, {} refused in {:.1f} s of processor time, largest request {} bytes", n_read, n_refused,
                   seconds, largest_request.load()));
  CHECK(n_read > 1000);
  CHECK(n_refused > 1000);
  CHECK(largest_request < kBuffers);
  CHECK(seconds < 120);  // processor time; 6 s without sanitizers
}

TEST_CASE("2,000 damaged gzip streams") {
  const TemporaryFolder folder;
  const Bytes original = test::read_bytes(kGolden / "four_d.nii.gz");
  std::mt19937 random(1952);
  const auto below = [&](size_t n) { return std::uniform_int_distribution<size_t>(0, n - 1)(random); };
  largest_request = 0;
  int n_refused = 0;
  for (int i = 0; i < 2000; ++i) {
    Bytes bytes = original;
    for (size_t n = 1 + below(3); n > 0; --n) bytes[2 + below(bytes.size() - 2)] ^= static_cast<char>(1 + below(255));
    INFO("case " << i);
    n_refused += !read_or_refuse(folder, bytes, "scan.nii.gz").empty();
  }
  CHECK(n_refused > 1000);
  CHECK(largest_request < kBuffers);
}
