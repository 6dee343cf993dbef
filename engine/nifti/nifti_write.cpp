#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <optional>
#include <span>

#include "engine/nifti/nifti_extensions.h"
#include "engine/nifti/nifti_read.h"
#include "engine/nifti/nifti_sink.h"
#include "engine/nifti/nifti_voxels.h"

namespace sr {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 20;  // converted and written at a time
constexpr int64_t kMaxDim1 = 32767;              // NIfTI-1 keeps sizes as int16

// Float results are noise in their low bits: hunting for repeats there costs three times the time and saves nothing,
// while runs (the zeros around a head) and skewed byte counts are most of what can be saved. Measured in docs/nifti.md.
int deflate_strategy(int datatype) {
  return datatype == NIFTI_TYPE_FLOAT32 || datatype == NIFTI_TYPE_FLOAT64 ? Z_RLE : Z_DEFAULT_STRATEGY;
}

void set_datatype(nifti_2_header& f, OutputType type) {
  const Scaling scaling = type == OutputType::input ? effective_scaling(f.scl_slope, f.scl_inter) : Scaling{};
  if (type == OutputType::float32) f.datatype = NIFTI_TYPE_FLOAT32;
  f.bitpix = static_cast<int16_t>(8 * find_datatype(f.datatype)->bytes);
  f.scl_slope = scaling.slope;
  f.scl_inter = scaling.inter;
}

// Cut where the field ends, one byte kept for the terminator, and not inside a UTF-8 character.
void set_description(nifti_2_header& f, const std::string& description) {
  size_t n = std::min(description.size(), sizeof(f.descrip) - 1);
  if (n < description.size()) {
    while (n > 0 && (static_cast<unsigned char>(description[n]) & 0xc0) == 0x80) --n;
  }
  std::memset(f.descrip, 0, sizeof(f.descrip));
  std::memcpy(f.descrip, description.data(), n);
}

// Another grid over the same space: voxels grow by old/new, and voxel (0, 0, 0) keeps its centre, so that both offsets
// stay. A sform's column belongs to one voxel axis; the qform takes its scale from pixdim.
void set_grid(nifti_2_header& f, Size3 grid) {
  const int64_t sizes[3] = {grid.w, grid.h, grid.d};
  for (int i = 0; i < 3; ++i) {
    const int64_t old_size = i < f.dim[0] ? f.dim[i + 1] : 1;
    if (old_size == sizes[i]) continue;
    const double ratio = static_cast<double>(old_size) / static_cast<double>(sizes[i]);
    f.dim[0] = std::max<int64_t>(f.dim[0], i + 1);
    f.dim[i + 1] = sizes[i];
    f.pixdim[i + 1] *= ratio;
    f.srow_x[i] *= ratio;
    f.srow_y[i] *= ratio;
    f.srow_z[i] *= ratio;
    // The scanner's slice order spoke about slices that no longer exist.
    if (DIM_INFO_TO_SLICE_DIM(f.dim_info) == i + 1)
      f.slice_code = 0, f.slice_start = f.slice_end = 0, f.slice_duration = 0;
  }
}

// RAS, the centre of the volume at the origin, qform and sform alike.
ScanHeader new_header(Size3 size, const double voxel_mm[3]) {
  ScanHeader header;
  nifti_2_header& f = header.fields;
  const int64_t sizes[3] = {size.w, size.h, size.d};
  double origin[3];
  for (int i = 0; i < 3; ++i) origin[i] = -0.5 * static_cast<double>(sizes[i] - 1) * voxel_mm[i];
  f.dim[0] = 3;
  f.pixdim[0] = 1;  // qfac
  for (int i = 1; i < 8; ++i) {
    f.dim[i] = i <= 3 ? sizes[i - 1] : 1;
    f.pixdim[i] = i <= 3 ? voxel_mm[i - 1] : 1;
  }
  f.datatype = NIFTI_TYPE_FLOAT32;
  f.scl_slope = 1;
  f.xyzt_units = NIFTI_UNITS_MM;
  f.qform_code = f.sform_code = NIFTI_XFORM_SCANNER_ANAT;
  f.qoffset_x = f.srow_x[3] = origin[0];
  f.qoffset_y = f.srow_y[3] = origin[1];
  f.qoffset_z = f.srow_z[3] = origin[2];
  f.srow_x[0] = voxel_mm[0];
  f.srow_y[1] = voxel_mm[1];
  f.srow_z[2] = voxel_mm[2];
  return header;
}

}  // namespace

struct ScanWriter::Impl {
  Impl(const ScanName& given, ScanHeader source, const std::vector<Extension>& extensions, const Options& options);

  Size3 size() const;
  void write(const Volume& volume);
  void commit();

  ScanName name;
  ScanHeader header;
  std::vector<std::string> warnings;
  Scaling scaling;
  std::unique_ptr<ByteSink> header_sink;  // of a pair; null for a single file
  std::unique_ptr<ByteSink> voxel_sink;
  std::vector<std::byte> raw;  // one piece, encoded
  std::optional<ValueRange> range;
  int64_t n_written = 0;

 private:
  void fit_version();
  void open_sinks(const std::vector<std::byte>& extension_bytes, int level);
  [[noreturn]] void refuse(const std::string& what) const {
    throw Error(Status::bad_output, fmt::format("{} cannot be written: {}", name.string(), what));
  }
};

ScanWriter::Impl::Impl(const ScanName& given, ScanHeader source, const std::vector<Extension>& extensions,
                       const Options& options)
    : name(given), header(std::move(source)) {
  nifti_2_header& f = header.fields;
  if (options.grid != Size3{0, 0, 0}) {
    if (std::min({options.grid.d, options.grid.h, options.grid.w}) < 1) refuse("its grid is empty");
    set_grid(f, options.grid);
  }
  for (int64_t i = f.dim[0] + 1; i < 8; ++i) f.dim[i] = 1;
  set_datatype(f, options.type);
  set_description(f, options.description);
  scaling = {f.scl_slope, f.scl_inter};
  fit_version();

  const std::vector<std::byte> extension_bytes = serialize_extensions(extensions);
  header.kind.single_file = !name.is_pair();
  f.vox_offset = 0;
  if (header.kind.single_file) {
    f.vox_offset = header_bytes(header.kind.version) + static_cast<int64_t>(extension_bytes.size());
  }
  open_sinks(extension_bytes, options.compression_level);
  raw.resize(kPieceBytes);
}

void ScanWriter::Impl::fit_version() {
  for (int i = 1; i < 8 && header.kind.version == 1; ++i) {
    const int64_t n = header.fields.dim[i];
    if (n <= kMaxDim1) continue;
    header.kind.version = 2;
    warnings.push_back(fmt::format("{} is written as NIfTI-2; NIfTI-1 cannot hold a size of {}", name.string(), n));
  }
}

void ScanWriter::Impl::open_sinks(const std::vector<std::byte>& extension_bytes, int level) {
  const ByteSink::Kind kind = name.is_gzip() ? ByteSink::Kind::gzip : ByteSink::Kind::plain;
  const std::vector<std::byte> front = serialize_header(header);
  const int strategy = deflate_strategy(header.fields.datatype);
  const std::string stem = name.checked().stem.string();
  const auto open = [&](const std::filesystem::path& path, std::span<const std::byte> its_front) {
    return std::make_unique<ByteSink>(path, kind, its_front, level, strategy);
  };
  if (header.kind.single_file) {
    voxel_sink = open(name.path, front);
    voxel_sink->append(extension_bytes);
  } else {
    const std::string suffix = kind == ByteSink::Kind::gzip ? ".gz" : "";
    header_sink = open(stem + ".hdr" + suffix, front);
    header_sink->append(extension_bytes);
    voxel_sink = open(stem + ".img" + suffix, {});
  }
}

Size3 ScanWriter::Impl::size() const {
  const nifti_2_header& f = header.fields;
  const auto extent = [&](int i) { return i <= f.dim[0] ? static_cast<int>(f.dim[i]) : 1; };
  return {extent(3), extent(2), extent(1)};
}

void ScanWriter::Impl::write(const Volume& volume) {
  if (volume.size != size()) refuse("a volume of another size was given");
  if (n_written == count_volumes(header.fields)) refuse(fmt::format("more than its {} volumes were given", n_written));
  const int datatype = header.fields.datatype;
  const size_t voxel_bytes = static_cast<size_t>(find_datatype(datatype)->bytes);
  std::span<const float> rest(volume.data);
  while (!rest.empty()) {
    const std::span<const float> piece = rest.first(std::min(rest.size(), kPieceBytes / voxel_bytes));
    const std::span<std::byte> piece_raw = std::span(raw).first(piece.size() * voxel_bytes);
    encode_voxels(piece, datatype, scaling, piece_raw);
    voxel_sink->append(piece_raw);
    rest = rest.subspan(piece.size());
  }
  if (const std::optional<ValueRange> now = finite_range(volume.data)) {
    range = range ? ValueRange{std::min(range->min, now->min), std::max(range->max, now->max)} : *now;
  }
  ++n_written;
}

void ScanWriter::Impl::commit() {
  nifti_2_header& f = header.fields;
  if (const int64_t n = count_volumes(f); n_written < n)
    refuse(fmt::format("only {} of {} volumes were given", n_written, n));
  const ValueRange shown = range.value_or(ValueRange{});
  f.cal_min = as_stored(shown.min, f.datatype, scaling);
  f.cal_max = as_stored(shown.max, f.datatype, scaling);
  const std::vector<std::byte> front = serialize_header(header);
  if (header_sink) {
    voxel_sink->finish({});
    header_sink->finish(front);
    // The header last: nobody finds one without its voxels.
    voxel_sink->publish();
    header_sink->publish();
  } else {
    voxel_sink->finish(front);
    voxel_sink->publish();
  }
}

ScanWriter::ScanWriter(const ScanName& name, const ScanReader& like, const Options& options)
    : impl_(std::make_unique<Impl>(name, like.impl_->header, like.impl_->extensions, options)) {}

ScanWriter::ScanWriter(const ScanName& name, Size3 size, const double voxel_mm[3], const Options& options)
    : impl_(std::make_unique<Impl>(name, new_header(size, voxel_mm), std::vector<Extension>{}, options)) {}

ScanWriter::~ScanWriter() = default;
ScanWriter::ScanWriter(ScanWriter&&) noexcept = default;
void ScanWriter::write(const Volume& volume) {
  impl_->write(volume);
}
void ScanWriter::commit() {
  impl_->commit();
}
const std::vector<std::string>& ScanWriter::warnings() const {
  return impl_->warnings;
}

}  // namespace sr
