// The extensions behind a header: blocks of {esize, ecode, data}, kept byte for byte.
#pragma once

#include <vector>

#include "engine/nifti/nifti_check.h"
#include "engine/nifti/nifti_source.h"

namespace sr {

// Reads what lies between the header and the voxels (single file) or the end of the file (pair). Sizes that lie become
// warnings: that extension and what follows it are left out. Memory is bounded by what the file really holds, and by
// 256 MiB in all.
std::vector<Extension> read_extensions(ByteSource& source, const ScanHeader& header, Findings& findings);

// The extender's four bytes and the extensions, each padded to a multiple of 16 bytes.
std::vector<std::byte> serialize_extensions(const std::vector<Extension>& extensions);

}  // namespace sr
