#include "tools/scan_transform.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>

#include "tools/common/progress.h"

namespace sr {
namespace {

// A sentence that names its file.
void warn(const std::string& sentence) {
  note(fmt::format("srengine: warning: {}", sentence));
}

}  // namespace

std::filesystem::path file_identity(const std::filesystem::path& file) {
  // Made absolute first: of a relative name of which no part exists, weakly_canonical keeps whatever spelling it has.
  std::error_code error;  // a loop of links, a name that is too long: whoever opens it will say so
  const std::filesystem::path whole = std::filesystem::absolute(file, error);
  const std::filesystem::path canonical = std::filesystem::weakly_canonical(whole, error);
  return error ? whole : canonical;
}

std::filesystem::path scan_identity(const std::filesystem::path& scan) {
  const ScanName file = file_identity(scan);  // where links lead to names of another kind
  return file.is_pair() ? file.with(".hdr") : file.path;
}

void transform_scan(ScanReader& in, const std::filesystem::path& out, const ScanWriter::Options& options,
                    const std::function<Volume(const Volume&)>& each_volume) {
  if (scan_identity(in.path()) == scan_identity(out))
    throw Error(Status::bad_usage,
                fmt::format("{} would be overwritten by its own result; -o takes another name", in.path().string()));
  for (const std::string& warning : in.warnings()) warn(warning);
  ScanWriter writer(out, in, options);
  int64_t n_nonfinite = 0;
  for (int64_t t = 0; t < in.info().n_volumes; ++t) {
    int64_t here = 0;
    writer.write(each_volume(in.read(t, &here)));
    n_nonfinite += here;
  }
  writer.commit();
  if (n_nonfinite)
    warn(fmt::format("{} has {} voxels that are not finite and were taken as 0", in.path().string(), n_nonfinite));
  for (const std::string& warning : writer.warnings()) warn(warning);
}

double misplacement_mm(const ScanInfo& a, const ScanInfo& b) {
  const double na[3] = {double(a.size.w), double(a.size.h), double(a.size.d)};
  const double nb[3] = {double(b.size.w), double(b.size.h), double(b.size.d)};
  double largest = 0;
  for (int corner = 0; corner < 8; ++corner) {
    double squared = 0;
    for (int row = 0; row < 3; ++row) {
      double difference = a.affine()[row][3] - b.affine()[row][3];
      for (int axis = 0; axis < 3; ++axis)
        if (corner >> axis & 1) difference += a.affine()[row][axis] * na[axis] - b.affine()[row][axis] * nb[axis];
      squared += difference * difference;
    }
    largest = std::max(largest, std::sqrt(squared));
  }
  return largest;
}

double smallest_voxel_edge_mm(const ScanInfo& info) {
  double smallest = INFINITY;
  for (int axis = 0; axis < 3; ++axis)
    smallest = std::min(smallest, std::hypot(info.affine()[0][axis], info.affine()[1][axis], info.affine()[2][axis]));
  return smallest;
}

}  // namespace sr
