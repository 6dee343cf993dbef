#include "engine/nifti/nifti_describe.h"

#include <fmt/format.h>
#include <nifti2_io.h>

#include <algorithm>

#include "engine/base/printable.h"

namespace sr {
namespace {

struct VoxelSummary {
  double min = 0, max = 0, mean = 0;
  int64_t n_nonfinite = 0;
};

VoxelSummary summarize(ScanReader& scan) {
  VoxelSummary s;
  double sum = 0;
  for (int64_t t = 0; t < scan.info().n_volumes; ++t) {
    int64_t n_nonfinite = 0;
    const Volume volume = scan.read(t, &n_nonfinite);
    const auto [min, max] = std::minmax_element(volume.data.begin(), volume.data.end());
    s.min = t == 0 ? static_cast<double>(*min) : std::min(s.min, static_cast<double>(*min));
    s.max = t == 0 ? static_cast<double>(*max) : std::max(s.max, static_cast<double>(*max));
    for (const float value : volume.data) sum += static_cast<double>(value);
    s.n_nonfinite += n_nonfinite;
  }
  s.mean = sum / (static_cast<double>(scan.info().size.voxels()) * static_cast<double>(scan.info().n_volumes));
  return s;
}

std::string line(const char* key, const std::string& value) {
  return fmt::format("{:<12} {}\n", key, value);
}

std::string file_kind(const ScanReader& scan) {
  const ScanInfo& info = scan.info();
  return fmt::format("NIfTI-{}, {}, {}{} bytes on disk", info.nifti_version,
                     info.byte_swapped ? "other byte order" : "this machine's byte order",
                     scan.compressed() ? "gzip, " : "", scan.file_bytes());
}

std::string size_and_volumes(const ScanInfo& info) {
  std::string text = fmt::format("{} x {} x {}", info.size.w, info.size.h, info.size.d);
  if (info.n_volumes > 1) text += fmt::format(", {} volumes", info.n_volumes);
  if (info.dim[0] > 4) {
    text += fmt::format(" (dim {}", info.dim[4]);
    for (int64_t i = 5; i <= info.dim[0]; ++i) text += fmt::format(" x {}", info.dim[i]);
    text += ")";
  }
  return text;
}

std::string voxel_size(const ScanInfo& info) {
  const std::string space = info.space_unit(), time = info.time_unit();
  std::string text = fmt::format("{:.6g} x {:.6g} x {:.6g} {}", info.pixdim[1], info.pixdim[2], info.pixdim[3],
                                 space.empty() ? "(unit not stated)" : space);
  if (info.dim[0] >= 4)
    text += fmt::format(", step {:.6g} {}", info.pixdim[4], time.empty() ? "(unit not stated)" : time);
  return text;
}

std::string datatype(const ScanInfo& info) {
  if (!info.has_scaling()) return info.datatype_name() + ", no scaling";
  return fmt::format("{}, value = stored * {:.8g} + {:.8g}", info.datatype_name(), info.scl_slope, info.scl_inter);
}

std::string matrix(const char* key, int code, const double (&m)[4][4]) {
  if (code <= 0) return line(key, fmt::format("code {} (not set)", code));
  std::string text = line(key, fmt::format("code {} ({})", code, nifti_xform_string(code)));
  for (int i = 0; i < 3; ++i) {
    text += line("", fmt::format("{:12.6f} {:12.6f} {:12.6f} {:12.6f}", m[i][0], m[i][1], m[i][2], m[i][3]));
  }
  return text;
}

std::string orientation(const ScanInfo& info) {
  if (info.sform_code <= 0 && info.qform_code <= 0) return "not stated (neither qform nor sform is set)";
  return info.orientation();
}

std::string extension_list(const ScanInfo& info) {
  std::string text;
  for (const ScanExtension& e : info.extensions) {
    text += fmt::format("{}code {}, {} bytes", text.empty() ? "" : "; ", e.code, e.bytes);
  }
  return text;
}

}  // namespace

std::string describe(const ScanReader& scan) {
  const ScanInfo& info = scan.info();
  ScanReader voxels(scan.name());
  const VoxelSummary summary = summarize(voxels);

  std::string text = line("file", scan.path().string());
  text += line("format", file_kind(scan));
  text += line("size", size_and_volumes(info));
  text += line("voxel size", voxel_size(info));
  text += line("datatype", datatype(info));
  text += matrix("qform", info.qform_code, info.qform);
  text += matrix("sform", info.sform_code, info.sform);
  text += line("orientation", orientation(info));
  if (info.intent_code != 0) {
    text += line("intent",
                 fmt::format("{} ({})", info.intent_code, nifti_intent_string(static_cast<int>(info.intent_code))));
  }
  if (!info.description.empty()) text += line("description", printable(info.description));
  if (!info.extensions.empty()) text += line("extensions", extension_list(info));
  text += line("values", fmt::format("{:.6g} to {:.6g}, mean {:.6g}", summary.min, summary.max, summary.mean));
  if (summary.n_nonfinite > 0) text += line("not finite", fmt::format("{} voxels, taken as 0", summary.n_nonfinite));
  for (const std::string& warning : scan.warnings()) text += line("warning", warning);
  return text;
}

}  // namespace sr
