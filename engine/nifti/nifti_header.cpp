#include "engine/nifti/nifti_header.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <type_traits>

namespace sr {
namespace {

static_assert(sizeof(nifti_1_header) == 348 && sizeof(nifti_2_header) == 540);

constexpr const char* kComplex = "has complex voxels, and only real ones can be restored";
constexpr const char* kColour = "has colour voxels, and only single-channel scans can be restored";
constexpr const char* kBinary = "has voxels of one bit, and only scans of at least 8 bits can be restored";
// x87 programs put 80-bit numbers into those 16 bytes, others IEEE quadruple precision; the file does not say which.
constexpr const char* kFloat128 = "has 128-bit floating-point voxels, whose layout differs between machines";

constexpr std::array<Datatype, 17> kDatatypes{{
    {NIFTI_TYPE_UINT8, "uint8", 1, nullptr},
    {NIFTI_TYPE_INT16, "int16", 2, nullptr},
    {NIFTI_TYPE_INT32, "int32", 4, nullptr},
    {NIFTI_TYPE_FLOAT32, "float32", 4, nullptr},
    {NIFTI_TYPE_FLOAT64, "float64", 8, nullptr},
    {NIFTI_TYPE_INT8, "int8", 1, nullptr},
    {NIFTI_TYPE_UINT16, "uint16", 2, nullptr},
    {NIFTI_TYPE_UINT32, "uint32", 4, nullptr},
    {NIFTI_TYPE_INT64, "int64", 8, nullptr},
    {NIFTI_TYPE_UINT64, "uint64", 8, nullptr},
    {DT_BINARY, "binary", 0, kBinary},
    {NIFTI_TYPE_COMPLEX64, "complex64", 8, kComplex},
    {NIFTI_TYPE_RGB24, "rgb24", 3, kColour},
    {NIFTI_TYPE_FLOAT128, "float128", 16, kFloat128},
    {NIFTI_TYPE_COMPLEX128, "complex128", 16, kComplex},
    {NIFTI_TYPE_COMPLEX256, "complex256", 32, kComplex},
    {NIFTI_TYPE_RGBA32, "rgba32", 4, kColour},
}};

// nifti_1_header and nifti_2_header call their common fields alike, so one list serves both directions. A macro,
// because no reference may be bound to a field of the packed nifti_2_header.
#define SR_COPY(field) to.field = static_cast<std::remove_reference_t<decltype(to.field)>>(from.field)

template <class From, class To>
void copy_common_fields(const From& from, To& to) {
  SR_COPY(datatype);
  SR_COPY(bitpix);
  for (int i = 0; i < 8; ++i) SR_COPY(dim[i]);
  for (int i = 0; i < 8; ++i) SR_COPY(pixdim[i]);
  SR_COPY(intent_code);
  SR_COPY(intent_p1);
  SR_COPY(intent_p2);
  SR_COPY(intent_p3);
  SR_COPY(scl_slope);
  SR_COPY(scl_inter);
  SR_COPY(cal_max);
  SR_COPY(cal_min);
  SR_COPY(slice_code);
  SR_COPY(slice_start);
  SR_COPY(slice_end);
  SR_COPY(slice_duration);
  SR_COPY(toffset);
  SR_COPY(xyzt_units);
  SR_COPY(dim_info);
  SR_COPY(qform_code);
  SR_COPY(sform_code);
  SR_COPY(quatern_b);
  SR_COPY(quatern_c);
  SR_COPY(quatern_d);
  SR_COPY(qoffset_x);
  SR_COPY(qoffset_y);
  SR_COPY(qoffset_z);
  for (int i = 0; i < 4; ++i) {
    SR_COPY(srow_x[i]);
    SR_COPY(srow_y[i]);
    SR_COPY(srow_z[i]);
  }
  std::memcpy(to.descrip, from.descrip, sizeof(to.descrip));
  std::memcpy(to.aux_file, from.aux_file, sizeof(to.aux_file));
  std::memcpy(to.intent_name, from.intent_name, sizeof(to.intent_name));
}

#undef SR_COPY

template <class Raw>
std::vector<std::byte> as_bytes(const Raw& raw) {
  std::vector<std::byte> bytes(sizeof(Raw));
  std::memcpy(bytes.data(), &raw, sizeof(Raw));
  return bytes;
}

std::optional<ScanHeader> parse_version_1(std::span<const std::byte> bytes, HeaderKind kind) {
  nifti_1_header raw;
  std::memcpy(&raw, bytes.data(), sizeof(raw));
  if (kind.byte_swapped) nifti_swap_as_nifti1(&raw);
  // A float that holds a byte offset: beyond 2^53 it is no file's, and NaN would make the conversion undefined.
  if (!(raw.vox_offset >= 0 && raw.vox_offset < 0x1p53f && raw.vox_offset == std::floor(raw.vox_offset))) {
    return std::nullopt;
  }
  ScanHeader header{kind};
  copy_common_fields(raw, header.fields);
  header.fields.vox_offset = static_cast<int64_t>(raw.vox_offset);
  return header;
}

std::optional<ScanHeader> parse_version_2(std::span<const std::byte> bytes, HeaderKind kind) {
  ScanHeader header{kind};
  std::memcpy(&header.fields, bytes.data(), sizeof(header.fields));
  if (kind.byte_swapped) nifti_swap_as_nifti2(&header.fields);
  if (header.fields.vox_offset < 0 || header.fields.vox_offset >= int64_t{1} << 53) return std::nullopt;
  return header;
}

std::vector<std::byte> serialize_version_1(const ScanHeader& header) {
  nifti_1_header raw{};
  copy_common_fields(header.fields, raw);
  raw.sizeof_hdr = sizeof(raw);
  raw.vox_offset = static_cast<float>(header.fields.vox_offset);
  std::memcpy(raw.magic, header.kind.single_file ? "n+1" : "ni1", sizeof(raw.magic));
  return as_bytes(raw);
}

std::vector<std::byte> serialize_version_2(const ScanHeader& header) {
  nifti_2_header raw{};
  copy_common_fields(header.fields, raw);
  raw.sizeof_hdr = sizeof(raw);
  raw.vox_offset = header.fields.vox_offset;
  std::memcpy(raw.magic, header.kind.single_file ? kMagic2Single : kMagic2Pair, sizeof(raw.magic));
  return as_bytes(raw);
}

}  // namespace

const Datatype* find_datatype(int code) {
  for (const Datatype& type : kDatatypes) {
    if (type.code == code) return &type;
  }
  return nullptr;
}

std::optional<ScanHeader> parse_header(std::span<const std::byte> bytes, HeaderKind kind) {
  return kind.version == 1 ? parse_version_1(bytes, kind) : parse_version_2(bytes, kind);
}

std::vector<std::byte> serialize_header(const ScanHeader& header) {
  return header.kind.version == 1 ? serialize_version_1(header) : serialize_version_2(header);
}

int64_t count_volumes(const nifti_2_header& fields) {
  int64_t n = 1;
  for (int64_t i = 4; i <= fields.dim[0]; ++i) n *= fields.dim[i];
  return n;
}

int64_t count_voxels_per_volume(const nifti_2_header& fields) {
  int64_t n = 1;
  for (int64_t i = 1; i <= std::min<int64_t>(fields.dim[0], 3); ++i) n *= fields.dim[i];
  return n;
}

}  // namespace sr
