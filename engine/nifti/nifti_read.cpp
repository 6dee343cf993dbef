#include "engine/nifti/nifti_read.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <new>
#include <span>

#include "engine/base/machine.h"
#include "engine/nifti/nifti_check.h"
#include "engine/nifti/nifti_extensions.h"
#include "engine/nifti/nifti_voxels.h"

namespace sr {
namespace {

constexpr int64_t kPiece = int64_t{1} << 20;  // raw bytes decoded at a time
// A gzip file that claims to have shrunk more than this is unpacked once without keeping anything before memory is set
// aside for it: scans shrink 1.5 to 5 times, masks up to 300 times, and those are unpacked in no time.
constexpr int64_t kUnusualRatio = 32;
// gzip's checksum stands behind whatever follows the last voxel. To reach it this much is unpacked at least, and
// kUnusualRatio times the file's size: more than honest files hold, and work in proportion to the file.
constexpr int64_t kLeastTail = int64_t{64} << 20;

std::string sentence(const std::filesystem::path& path, const Finding& finding) {
  return fmt::format("{} {}; {}", path.string(), finding.message, finding.fix);
}

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& message, const std::string& fix) {
  throw Error(Status::bad_input, sentence(path, {Level::error, message, fix}));
}

[[noreturn]] void refuse_as_cut(const ByteSource& source, int64_t got, int64_t claimed) {
  if (!source.damage().empty()) {
    refuse(source.path(), fmt::format("is damaged after {} of {} bytes (gzip: {})", got, claimed, source.damage()),
           "copy the file again");
  }
  refuse(source.path(), fmt::format("ends after {} of {} bytes", got, claimed), "copy the file again");
}

// No gzip file is trusted before its checksum was compared. read: what was, up to `end`.
void verify_checksum(ByteSource& source, const char* read, int64_t end) {
  const int64_t most = std::max(kLeastTail, kUnusualRatio * source.file_bytes());
  const bool reached = source.read_to_end(most);
  if (!source.damage().empty()) refuse_as_cut(source, end, end);
  if (source.cut_short()) {
    refuse(source.path(), fmt::format("is cut short behind its {}, before the end of gzip's checksum", read),
           "copy the file again");
  }
  if (!reached) {
    refuse(source.path(),
           fmt::format("goes on for more than {} bytes behind its {}, too far to reach gzip's checksum", most, read),
           "unpack it with gunzip");
  }
}

// Linux promises memory that it does not have and ends the process that uses it, so the machine's own is asked first.
Volume allocate_volume(const std::filesystem::path& path, Size3 size) {
  const double bytes = static_cast<double>(size.voxels()) * sizeof(float);
  const double physical = static_cast<double>(physical_memory());
  try {
    if (bytes < physical) return Volume(size);
  } catch (const std::bad_alloc&) {  // said below
  }
  refuse(path,
         fmt::format("needs {:.1f} GB of memory for one volume, and this machine has {:.1f} GB", bytes * 1e-9,
                     physical * 1e-9),
         "use a machine with more memory");
}

// The name must agree with what the header says about where the voxels are.
void check_name(const ScanName& header_name, const HeaderKind& kind) {
  if (header_name.is_pair() && kind.single_file) {
    refuse(header_name.path, "has the mark n+1 or n+2 of a single file under the name of a pair's header",
           "rename it to .nii");
  }
  if (!header_name.is_pair() && !kind.single_file) {
    refuse(header_name.path, "has the mark ni1 or ni2 of a pair's header, so the voxels lie in another file",
           "rename it to .hdr beside its .img");
  }
}

// The other file of a pair. Where there are several, as after gzip -k, the voxels of one may be older than the other's,
// so the choice is said.
ScanName choose_sibling(const ScanName& name, const std::string& extension, const std::string& what_it_holds,
                        Findings& findings) {
  const std::vector<std::filesystem::path> found = find_siblings(name, extension);
  if (found.empty())
    refuse(name.path, fmt::format("has no {} file with its {} beside it", extension, what_it_holds),
           "put both into one folder");
  if (found.size() > 1)
    findings.push_back({Level::warning,
                        fmt::format("has both {} and {} beside it, and {} is read", found[0].filename().string(),
                                    found[1].filename().string(), found[0].filename().string()),
                        "remove the one that does not belong to it"});
  return found.front();
}

}  // namespace

ScanReader::Impl::Impl(const ScanName& given) : name(given) {
  Findings findings;
  const auto refuse_or_warn = [&](const std::filesystem::path& about) {
    for (const Finding& finding : findings) {
      if (finding.level == Level::error) throw Error(Status::bad_input, sentence(about, finding));
      warnings.push_back(sentence(about, finding));
    }
    findings.clear();
  };

  const ScanName header_name = given.is_image() ? choose_sibling(given, ".hdr", "header", findings) : given;
  const std::filesystem::path& header_path = header_name.path;
  refuse_or_warn(given.path);
  auto source = std::make_unique<ByteSource>(header_path, ByteSource::Gzip::by_content);
  std::array<std::byte, header_bytes(2)> first_bytes;
  const int64_t n = source->read_at(0, first_bytes.data(), header_bytes(2));
  if (n < header_bytes(2) && !source->damage().empty()) refuse_as_cut(*source, n, header_bytes(2));
  const std::optional<ScanHeader> checked = check_header({first_bytes.data(), static_cast<size_t>(n)}, findings);
  refuse_or_warn(header_path);
  header = *checked;  // without a header there was an error
  check_name(header_name, header.kind);

  if (header.kind.single_file) {
    check_file_size(voxel_extent(header), source->file_bytes(), source->compressed(), findings);
    refuse_or_warn(header_path);
  }
  extensions = read_extensions(*source, header, findings);
  check_extensions(extensions, findings);
  refuse_or_warn(header_path);
  if (header.kind.single_file) {
    voxels = std::move(source);
  } else {
    verify_checksum(*source, "header", header_bytes(header.kind.version));
    const ScanName image = given.is_image() ? given : choose_sibling(given, ".img", "voxels", findings);
    refuse_or_warn(given.path);
    // It has no header and may begin with any two bytes, so the name must say as well that they are gzip's.
    voxels = std::make_unique<ByteSource>(image.path,
                                          image.is_gzip() ? ByteSource::Gzip::by_content : ByteSource::Gzip::never);
    check_file_size(voxel_extent(header), voxels->file_bytes(), voxels->compressed(), findings);
    refuse_or_warn(voxels->path());
  }

  const int64_t claimed = voxel_extent(header).end();
  if (voxels->compressed() && claimed / kUnusualRatio > voxels->file_bytes()) {
    const int64_t found = voxels->count_up_to(claimed);
    if (found < claimed) refuse_as_cut(*voxels, found, claimed);
  }
  info = describe_header(header, extensions);
}

ScanReader::ScanReader(const ScanName& name) : impl_(std::make_unique<Impl>(name)) {}
ScanReader::~ScanReader() = default;
ScanReader::ScanReader(ScanReader&&) noexcept = default;
const ScanName& ScanReader::name() const {
  return impl_->name;
}
int64_t ScanReader::file_bytes() const {
  return impl_->voxels->file_bytes();
}
bool ScanReader::compressed() const {
  return impl_->voxels->compressed();
}
const ScanInfo& ScanReader::info() const {
  return impl_->info;
}
const std::vector<std::string>& ScanReader::warnings() const {
  return impl_->warnings;
}

Volume ScanReader::read(int64_t t, int64_t* n_nonfinite) {
  const ScanInfo& info = impl_->info;
  if (t < 0 || t >= info.n_volumes) {
    throw Error(Status::bad_usage,
                fmt::format("{} has {} volumes, so there is no volume {}", path().string(), info.n_volumes, t));
  }
  const int64_t n_voxels = info.size.voxels();
  Volume volume = allocate_volume(path(), info.size);
  const int voxel_bytes = find_datatype(info.datatype)->bytes;
  const VoxelExtent extent = voxel_extent(impl_->header);
  const Scaling scaling = effective_scaling(info.scl_slope, info.scl_inter);
  const int64_t piece_voxels = std::min(n_voxels, kPiece / voxel_bytes);
  std::vector<std::byte> raw(static_cast<size_t>(piece_voxels * voxel_bytes));
  int64_t nonfinite = 0;
  for (int64_t first = 0; first < n_voxels; first += piece_voxels) {
    const int64_t count = std::min(piece_voxels, n_voxels - first);
    const int64_t offset = extent.offset + (t * n_voxels + first) * voxel_bytes;
    const int64_t got = impl_->voxels->read_at(offset, raw.data(), count * voxel_bytes);
    if (got < count * voxel_bytes) refuse_as_cut(*impl_->voxels, offset + got, extent.end());
    nonfinite += decode_voxels(raw, info.datatype, info.byte_swapped, scaling,
                               std::span(volume.data).subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
  }
  if (t == info.n_volumes - 1 && !impl_->verified) {
    verify_checksum(*impl_->voxels, "last voxel", extent.end());
    impl_->verified = true;
  }
  if (n_nonfinite != nullptr) *n_nonfinite = nonfinite;
  return volume;
}

}  // namespace sr
