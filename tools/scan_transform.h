// Reading a scan, doing something to each of its volumes, writing the result: what degrade and upsample share.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "engine/nifti/nifti.h"

namespace sr {

// One path for each file, however it is named, links followed: for seeing whether two names would be the same file.
// Nothing needs to exist.
std::filesystem::path file_identity(const std::filesystem::path& file);
// The same of a scan: a pair has that of its header.
std::filesystem::path scan_identity(const std::filesystem::path& scan);

// The result has the header of `in`; `options.grid` gives it another grid. Warnings of reader and writer go to stderr.
void transform_scan(ScanReader& in, const std::filesystem::path& out, const ScanWriter::Options& options,
                    const std::function<Volume(const Volume&)>& each_volume);

// How far apart, in mm, two scans put the same anatomy: the largest distance between corresponding corners, where
// sample n of one corresponds to n * M / N of the other (the geometry of degradation; for equal sizes simply the same
// voxel).
double misplacement_mm(const ScanInfo& a, const ScanInfo& b);

// The smallest edge of a voxel in mm, as the affine has it.
double smallest_voxel_edge_mm(const ScanInfo& info);

}  // namespace sr
