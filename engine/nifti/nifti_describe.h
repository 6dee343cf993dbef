// What `srengine info scan.nii` prints.
#pragma once

#include <string>

#include "engine/nifti/nifti.h"

namespace sr {

// Several lines: what was understood of the scan, and what its voxels hold. Opens the file a second time and reads it
// all, so a file that is cut short is found out: throws Error{bad_input}.
std::string describe(const ScanReader& scan);

}  // namespace sr
