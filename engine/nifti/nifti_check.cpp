#include "engine/nifti/nifti_check.h"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <limits>

namespace sr {
namespace {

constexpr const char* kConvertAgain = "the header is damaged: convert the scan again from its source";
constexpr const char* kNoMatter = "this does not affect the result";
constexpr int kFirstCiftiIntent = 3000, kLastCiftiIntent = 3099;  // the standard sets this range aside for CIFTI
constexpr int kCiftiExtension = 32;                               // NIFTI_ECODE_CIFTI

void error(Findings& findings, std::string message, std::string fix = kConvertAgain) {
  findings.push_back({Level::error, std::move(message), std::move(fix)});
}

void warning(Findings& findings, std::string message, std::string fix) {
  findings.push_back({Level::warning, std::move(message), std::move(fix)});
}

int32_t load_int32(std::span<const std::byte> bytes, bool swapped) {
  int32_t value;
  std::memcpy(&value, bytes.data(), sizeof(value));
  if (swapped) nifti_swap_4bytes(1, &value);
  return value;
}

bool starts_with(std::span<const std::byte> bytes, const char* text, size_t n) {
  return bytes.size() >= n && std::memcmp(bytes.data(), text, n) == 0;
}

// a * b, or nullopt where int64 cannot hold it. a, b >= 1.
std::optional<int64_t> multiply(int64_t a, int64_t b) {
  if (a > std::numeric_limits<int64_t>::max() / b) return std::nullopt;
  return a * b;
}

std::optional<HeaderKind> identify_version_1(std::span<const std::byte> bytes, bool swapped, Findings& findings) {
  if (bytes.size() < static_cast<size_t>(header_bytes(1))) {
    error(findings, fmt::format("ends after {} of 348 bytes of its header", bytes.size()), "copy the file again");
    return std::nullopt;
  }
  const auto magic = bytes.subspan(344);
  if (starts_with(magic, "n+1", 4)) return HeaderKind{1, true, swapped};
  if (starts_with(magic, "ni1", 4)) return HeaderKind{1, false, swapped};
  if (magic[0] == std::byte{0}) {
    error(findings, "is an ANALYZE 7.5 file, which does not tell left from right",
          "convert it to NIfTI with a program that knows where it came from");
  } else {
    error(findings, "has a NIfTI-1 header without the mark n+1 or ni1 at its end");
  }
  return std::nullopt;
}

std::optional<HeaderKind> identify_version_2(std::span<const std::byte> bytes, bool swapped, Findings& findings) {
  if (bytes.size() < static_cast<size_t>(header_bytes(2))) {
    error(findings, fmt::format("ends after {} of 540 bytes of its header", bytes.size()), "copy the file again");
    return std::nullopt;
  }
  const auto magic = bytes.subspan(4);
  const bool single_file = starts_with(magic, kMagic2Single, 4);
  if (!single_file && !starts_with(magic, kMagic2Pair, 4)) {
    error(findings, "has a NIfTI-2 header without the mark n+2 or ni2");
    return std::nullopt;
  }
  if (!starts_with(magic.subspan(4), kMagic2Single + 4, 4)) {
    error(findings, "went through a transfer that rewrites line ends", "copy the file again in binary mode");
    return std::nullopt;
  }
  return HeaderKind{2, single_file, swapped};
}

void check_dimensions(const ScanHeader& header, Findings& findings) {
  const nifti_2_header& f = header.fields;
  const int64_t n_dims = f.dim[0];
  if (n_dims < 1 || n_dims > 7) return error(findings, fmt::format("has {} dimensions (dim[0]), not 1 to 7", n_dims));
  for (int64_t i = 1; i <= n_dims; ++i) {
    const int64_t n = f.dim[i];
    if (n == 0) return error(findings, fmt::format("is empty: dim[{}] is 0", i), "there is nothing to restore");
    if (n < 0) return error(findings, fmt::format("has dim[{}] = {}, less than 1", i, n));
    if (i <= 3 && n > std::numeric_limits<int32_t>::max()) {
      return error(findings, fmt::format("has dim[{}] = {}, more than 2147483647", i, n));
    }
  }
}

void check_datatype(const ScanHeader& header, Findings& findings) {
  const int code = header.fields.datatype;
  const Datatype* type = find_datatype(code);
  if (type == nullptr) return error(findings, fmt::format("has datatype {}, which NIfTI does not know", code));
  if (type->refused_as != nullptr) {
    return error(findings, fmt::format("{} (datatype {})", type->refused_as, type->name),
                 "convert it to one of the integer or floating-point types up to 64 bits");
  }
  const int bitpix = header.fields.bitpix;
  if (bitpix != 8 * type->bytes) {
    warning(findings, fmt::format("has bitpix {}, but {} has {} bits", bitpix, type->name, 8 * type->bytes),
            "the datatype is believed");
  }
}

// The product of all sizes in bytes must be a number that an offset can hold.
void check_total_size(const ScanHeader& header, Findings& findings) {
  const nifti_2_header& f = header.fields;
  std::optional<int64_t> bytes = find_datatype(f.datatype)->bytes;
  for (int64_t i = 1; i <= f.dim[0] && bytes; ++i) bytes = multiply(*bytes, f.dim[i]);
  // Room for vox_offset, and for a volume's voxels as float32.
  if (!bytes || *bytes > std::numeric_limits<int64_t>::max() / 8) {
    error(findings, "claims more voxels than any file can hold");
  }
}

void check_offset(const ScanHeader& header, Findings& findings) {
  const int64_t offset = header.fields.vox_offset;
  const int64_t header_end = header_bytes(header.kind.version);
  if (!header.kind.single_file) return;
  if (offset < header_end) {
    return error(findings, fmt::format("has vox_offset {}, inside the header of {} bytes", offset, header_end));
  }
  if (offset < header_end + kExtenderBytes) {
    warning(findings, fmt::format("has vox_offset {}, less than {}", offset, header_end + kExtenderBytes),
            "the voxels are read from there");
  }
}

// slope 0 means "none" in the standard; NaN is what nibabel writes for "none".
void check_scaling(const ScanHeader& header, Findings& findings) {
  const double slope = header.fields.scl_slope, inter = header.fields.scl_inter;
  if (std::isinf(slope)) return error(findings, "has an infinite scl_slope");
  const bool scaled = slope != 0 && !std::isnan(slope);
  if (scaled && !std::isfinite(inter)) return error(findings, fmt::format("has scl_inter {}", inter));
}

void check_voxel_size(const ScanHeader& header, Findings& findings) {
  for (int i = 1; i <= 3 && i <= header.fields.dim[0]; ++i) {
    const double size = header.fields.pixdim[i];
    if (!std::isfinite(size)) return error(findings, fmt::format("has a voxel size pixdim[{}] of {}", i, size));
    if (size < 0) {
      warning(findings, fmt::format("has a voxel size pixdim[{}] of {}", i, size), "its absolute value is taken");
    }
    if (size == 0 && header.fields.dim[i] > 1) {
      warning(findings, fmt::format("has a voxel size pixdim[{}] of 0", i), "1 is taken");
    }
  }
}

void check_qform(const ScanHeader& header, Findings& findings) {
  const nifti_2_header& f = header.fields;
  const int code = f.qform_code;
  if (code < 0 || code > NIFTI_XFORM_TEMPLATE_OTHER) {
    warning(findings, fmt::format("has qform_code {}, not 0 to 5", code), "it is kept as it is");
  }
  if (code <= 0) return;
  for (const double value : {f.quatern_b, f.quatern_c, f.quatern_d, f.qoffset_x, f.qoffset_y, f.qoffset_z}) {
    if (!std::isfinite(value))
      return error(findings, fmt::format("has {} in its qform (quatern_b .. qoffset_z)", value));
  }
  const double b = f.quatern_b, c = f.quatern_c, d = f.quatern_d;
  const double norm = b * b + c * c + d * d;
  // Three float32 squares of a unit quaternion sum to 1 within a few 1e-7.
  if (norm > 1 + 1e-5) {
    warning(findings, fmt::format("has a qform quaternion with b^2 + c^2 + d^2 = {:.6g}, more than 1", norm),
            "it is scaled to 1 where it is used and kept as it is");
  }
  const double qfac = f.pixdim[0];
  if (qfac != 1 && qfac != -1 && qfac != 0) {
    warning(findings, fmt::format("has pixdim[0] (qfac) {}, not 1 or -1", qfac), "its sign is taken");
  }
}

void check_sform(const ScanHeader& header, Findings& findings) {
  const nifti_2_header& f = header.fields;
  const int code = f.sform_code;
  if (code < 0 || code > NIFTI_XFORM_TEMPLATE_OTHER) {
    warning(findings, fmt::format("has sform_code {}, not 0 to 5", code), "it is kept as it is");
  }
  if (code <= 0) return;
  nifti_dmat33 m;
  for (int i = 0; i < 4; ++i) {
    for (const double value : {f.srow_x[i], f.srow_y[i], f.srow_z[i]}) {
      if (!std::isfinite(value)) return error(findings, fmt::format("has {} in its sform (srow_x .. srow_z)", value));
    }
    if (i == 3) continue;
    m.m[0][i] = f.srow_x[i], m.m[1][i] = f.srow_y[i], m.m[2][i] = f.srow_z[i];
  }
  if (nifti_dmat33_determ(m) == 0) {
    warning(findings, "has a singular sform (voxels fall onto a plane)", "it is kept as it is");
  }
}

void check_units(const ScanHeader& header, Findings& findings) {
  const int units = header.fields.xyzt_units;
  const int space = XYZT_TO_SPACE(units), time = XYZT_TO_TIME(units);
  if (space > NIFTI_UNITS_MICRON || time > NIFTI_UNITS_RADS || (units & ~0x3f) != 0) {
    warning(findings, fmt::format("has xyzt_units {}, which NIfTI does not know", units), kNoMatter);
  }
}

constexpr const char* kGiveScan = "give the scan itself; this program restores images of intensities";

// Labels are only warned of: evaluate and its masks read them.
void check_intent(const ScanHeader& header, Findings& findings) {
  const int64_t code = header.fields.intent_code;
  const char* vectors = code == NIFTI_INTENT_DISPVECT ? "a deformation field" : "a field of vectors";
  if (code == NIFTI_INTENT_DISPVECT || code == NIFTI_INTENT_VECTOR)
    return error(findings, fmt::format("holds {} (intent {}), no scan", vectors, code), kGiveScan);
  if (code >= kFirstCiftiIntent && code <= kLastCiftiIntent)
    return error(findings, fmt::format("is a CIFTI file (intent {}), a matrix over brain locations, no scan", code),
                 kGiveScan);
  if (code == NIFTI_INTENT_LABEL)
    warning(findings, "holds labels (intent 1002), no intensities",
            "restoring them would make labels that do not exist");
}

bool has_error(const Findings& findings) {
  for (const Finding& finding : findings) {
    if (finding.level == Level::error) return true;
  }
  return false;
}

}  // namespace

std::optional<HeaderKind> identify_header(std::span<const std::byte> first_bytes, Findings& findings) {
  if (first_bytes.size() >= 4) {
    for (const bool swapped : {false, true}) {
      const int32_t size = load_int32(first_bytes, swapped);
      if (size == header_bytes(1)) return identify_version_1(first_bytes, swapped, findings);
      if (size == header_bytes(2)) return identify_version_2(first_bytes, swapped, findings);
    }
  }
  error(findings, "is not a NIfTI file: it does not begin with 348 or 540, the size of a header",
        "convert the scan to NIfTI, for instance with dcm2niix");
  return std::nullopt;
}

std::optional<ScanHeader> check_header(std::span<const std::byte> first_bytes, Findings& findings) {
  const std::optional<HeaderKind> kind = identify_header(first_bytes, findings);
  if (!kind) return std::nullopt;
  const std::optional<ScanHeader> header = parse_header(first_bytes, *kind);
  if (!header) {
    error(findings, "has a vox_offset (the place of the first voxel) that is no number of bytes");
    return std::nullopt;
  }
  check_dimensions(*header, findings);
  check_datatype(*header, findings);
  if (!has_error(findings)) check_total_size(*header, findings);
  check_offset(*header, findings);
  check_scaling(*header, findings);
  check_voxel_size(*header, findings);
  check_qform(*header, findings);
  check_sform(*header, findings);
  check_units(*header, findings);
  check_intent(*header, findings);
  return header;
}

void check_extensions(const std::vector<Extension>& extensions, Findings& findings) {
  for (const Extension& extension : extensions)
    if (extension.code == kCiftiExtension)
      return error(findings, "is a CIFTI file (extension 32), a matrix over brain locations, no scan", kGiveScan);
}

VoxelExtent voxel_extent(const ScanHeader& header) {
  const nifti_2_header& f = header.fields;
  return {f.vox_offset, count_voxels_per_volume(f) * count_volumes(f) * find_datatype(f.datatype)->bytes};
}

void check_file_size(const VoxelExtent& extent, int64_t file_bytes, bool compressed, Findings& findings) {
  if (!compressed && file_bytes < extent.end()) {
    error(findings, fmt::format("ends after {} of {} bytes", file_bytes, extent.end()), "copy the file again");
  }
  if (!compressed && file_bytes > extent.end()) {
    warning(findings, fmt::format("has {} bytes behind its last voxel", file_bytes - extent.end()), "they are ignored");
  }
  if (compressed && file_bytes < extent.end() / kMaxInflateRatio) {
    error(findings,
          fmt::format("claims {} bytes, more than its {} compressed bytes can hold", extent.end(), file_bytes),
          "the file is damaged or cut short: copy it again");
  }
}

}  // namespace sr
