#include "engine/nifti/nifti.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/nifti/nifti_read.h"
#include "engine/nifti/nifti_voxels.h"

namespace sr {
namespace {

void copy_matrix(const nifti_dmat44& from, Affine& to) {
  std::memcpy(to, from.m, sizeof(to));
}

nifti_dmat44 sform_matrix(const nifti_2_header& f) {
  nifti_dmat44 m{};
  for (int i = 0; i < 4; ++i) {
    m.m[0][i] = f.srow_x[i];
    m.m[1][i] = f.srow_y[i];
    m.m[2][i] = f.srow_z[i];
  }
  m.m[3][3] = 1;
  return m;
}

// Method 2 of the standard; without a code method 1, the scaling by pixdim. A voxel size of 0 counts as 1, as in
// nifticlib.
nifti_dmat44 qform_matrix(const nifti_2_header& f) {
  double size[3];
  for (int i = 0; i < 3; ++i) {
    const double pixdim = i < f.dim[0] ? std::fabs(f.pixdim[i + 1]) : 1;
    size[i] = pixdim > 0 ? pixdim : 1;
  }
  if (f.qform_code <= 0) return nifti_quatern_to_dmat44(0, 0, 0, 0, 0, 0, size[0], size[1], size[2], 1);
  return nifti_quatern_to_dmat44(f.quatern_b, f.quatern_c, f.quatern_d, f.qoffset_x, f.qoffset_y, f.qoffset_z, size[0],
                                 size[1], size[2], f.pixdim[0] < 0 ? -1 : 1);
}

// Header strings need no terminator where they fill their field.
template <size_t n>
std::string field_text(const char (&field)[n]) {
  return {field, ::strnlen(field, n)};
}

}  // namespace

ScanInfo describe_header(const ScanHeader& header, const std::vector<Extension>& extensions) {
  const nifti_2_header& f = header.fields;
  ScanInfo info;
  info.nifti_version = header.kind.version;
  info.byte_swapped = header.kind.byte_swapped;
  info.dim[0] = f.dim[0];
  for (int i = 1; i < 8; ++i) info.dim[i] = i <= f.dim[0] ? f.dim[i] : 1;
  for (int i = 0; i < 8; ++i) info.pixdim[i] = f.pixdim[i];
  info.size = {static_cast<int>(info.dim[3]), static_cast<int>(info.dim[2]), static_cast<int>(info.dim[1])};
  info.n_volumes = count_volumes(f);
  info.datatype = f.datatype;
  info.scl_slope = f.scl_slope;
  info.scl_inter = f.scl_inter;
  info.qform_code = static_cast<int16_t>(f.qform_code);
  info.sform_code = static_cast<int16_t>(f.sform_code);
  copy_matrix(qform_matrix(f), info.qform);
  copy_matrix(sform_matrix(f), info.sform);
  info.xyzt_units = f.xyzt_units;
  info.intent_code = f.intent_code;
  info.description = field_text(f.descrip);
  for (const Extension& e : extensions) info.extensions.push_back({e.code, static_cast<int64_t>(e.data.size())});
  return info;
}

bool ScanInfo::has_scaling() const {
  return !effective_scaling(scl_slope, scl_inter).is_identity();
}

const double (&ScanInfo::affine() const)[4][4] {
  return sform_code > 0 ? sform : qform;
}

std::string ScanInfo::orientation() const {
  nifti_dmat44 m;
  std::memcpy(m.m, affine(), sizeof(m.m));
  int codes[3] = {};
  nifti_dmat44_to_orientation(m, &codes[0], &codes[1], &codes[2]);
  std::string letters;
  // NIFTI_L2R .. NIFTI_S2I are 1 .. 6; 0 where the matrix is singular.
  for (const int code : codes) letters += "?RLAPSI"[std::clamp(code, 0, 6)];
  return letters;
}

std::string ScanInfo::datatype_name() const {
  return find_datatype(datatype)->name;
}

std::string ScanInfo::space_unit() const {
  switch (XYZT_TO_SPACE(xyzt_units)) {
    case NIFTI_UNITS_METER:
      return "m";
    case NIFTI_UNITS_MM:
      return "mm";
    case NIFTI_UNITS_MICRON:
      return "um";
    default:
      return "";
  }
}

std::string ScanInfo::time_unit() const {
  switch (XYZT_TO_TIME(xyzt_units)) {
    case NIFTI_UNITS_SEC:
      return "s";
    case NIFTI_UNITS_MSEC:
      return "ms";
    case NIFTI_UNITS_USEC:
      return "us";
    case NIFTI_UNITS_HZ:
      return "Hz";
    case NIFTI_UNITS_PPM:
      return "ppm";
    case NIFTI_UNITS_RADS:
      return "rad/s";
    default:
      return "";
  }
}

}  // namespace sr
