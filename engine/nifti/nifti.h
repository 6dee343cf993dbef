// Scans in and out: NIfTI-1 and NIfTI-2, .nii, .nii.gz, .hdr/.img, every integer and float type, either byte order
// (docs/nifti.md says what is kept and what is refused).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "engine/base/volume.h"
#include "engine/nifti/nifti_name.h"

namespace sr {

// Three-dimensional rigid/affine placement: world = m * (i, j, k, 1), millimetres, row-major 3x4 on top of {0 0 0 1}.
using Affine = double[4][4];

// A block of bytes that some program stored behind the header. Example: {6, 32} is a comment.
struct ScanExtension {
  int code;       // NIFTI_ECODE_*
  int64_t bytes;  // without the eight of its own header
};

// What a header says, in the machine's byte order, independent of NIfTI version.
struct ScanInfo {
  int nifti_version = 1;  // 1 or 2
  Size3 size{0, 0, 0};    // d = nk, h = nj, w = ni
  int64_t n_volumes = 1;  // product of dim[4..7]
  int64_t dim[8] = {};    // as in the header: the shape of a 4D..7D file is kept
  double pixdim[8] = {};  // voxel size in xyzt_units
  int16_t datatype = 16;  // NIFTI_TYPE_*
  double scl_slope = 1, scl_inter = 0;
  bool byte_swapped = false;
  int16_t qform_code = 0, sform_code = 0;
  Affine sform = {}, qform = {};  // both as stored; a qform without code is the scaling by pixdim
  int xyzt_units = 0;             // NIFTI_UNITS_*, space and time added
  int64_t intent_code = 0;
  std::string description;  // descrip
  std::vector<ScanExtension> extensions;

  bool has_scaling() const;              // scl_slope is neither 0 nor NaN, and changes something
  const double (&affine() const)[4][4];  // sform where coded, else qform, else scaling by pixdim
  std::string orientation() const;       // "RAS", "LPI", ...: the direction in which i, j and k grow
  std::string datatype_name() const;     // "int16"
  std::string space_unit() const;        // "mm"; "" where the header does not say
  std::string time_unit() const;         // "s"
};

// A scan opened for reading. The header has been checked, and the sizes held against the file's real size, before
// nifticlib or an allocation sees them. Throws Error{bad_input} with one sentence.
class ScanReader {
 public:
  explicit ScanReader(const ScanName& name);
  ~ScanReader();
  ScanReader(ScanReader&&) noexcept;
  const ScanName& name() const;
  const std::filesystem::path& path() const { return name().path; }  // as it was given
  int64_t file_bytes() const;                                        // of the file that holds the voxels, on the disk
  bool compressed() const;
  const ScanInfo& info() const;
  const std::vector<std::string>& warnings() const;  // oddities that do not stop: sizes that disagree, codes unknown

  // Volume t (0 <= t < n_volumes), slope and intercept applied; non-finite voxels are 0 and counted. Volumes are best
  // asked for in order: a gzip stream is read forwards, and going back reads it from its start again.
  Volume read(int64_t t, int64_t* n_nonfinite = nullptr);

 private:
  friend class ScanWriter;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

enum class OutputType { float32, input };  // --dtype

// A result that takes its header from a scan: NIfTI version, affine, units, extensions stay (docs/nifti.md has the
// list). The name decides the rest: .gz is compressed, .hdr and .img both write a pair. The file appears under its name
// only at commit(): written beside, then renamed. The destructor removes what was not committed. Throws
// Error{bad_output} with one sentence; a missing or unwritable folder is found by the constructor, before anything was
// computed.
class ScanWriter {
 public:
  struct Options {
    OutputType type = OutputType::float32;
    std::string description = "srengine";  // descrip, cut at 79 bytes
    // A grid other than the scan's (degrade --grid native, run --upsample): sizes, and with them voxel sizes and affine
    // columns scaled by old/new; the first voxel's centre stays where it is. {0, 0, 0}: the scan's own.
    Size3 grid{0, 0, 0};
    int compression_level = 4;  // of .gz names, 1 .. 9; matters for integer types only (docs/nifti.md has the figures)
  };
  ScanWriter(const ScanName& name, const ScanReader& like, const Options& options);
  // A header made from nothing: RAS, voxel size in mm, origin at the centre of the volume. For the phantom.
  ScanWriter(const ScanName& name, Size3 size, const double voxel_mm[3], const Options& options);
  ~ScanWriter();
  ScanWriter(ScanWriter&&) noexcept;

  void write(const Volume& volume);                  // the next volume, in the input's units
  void commit();                                     // all n_volumes must have been written
  const std::vector<std::string>& warnings() const;  // a NIfTI-1 header that had to become NIfTI-2

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace sr
