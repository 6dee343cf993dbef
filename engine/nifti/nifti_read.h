// Inside of ScanReader; ScanWriter takes the header and the extensions from here.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/nifti/nifti.h"
#include "engine/nifti/nifti_header.h"
#include "engine/nifti/nifti_source.h"

namespace sr {

struct ScanReader::Impl {
  explicit Impl(const ScanName& name);

  ScanName name;  // as given; the header may lie in another file of the pair
  ScanHeader header;
  std::vector<Extension> extensions;
  ScanInfo info;
  std::vector<std::string> warnings;
  std::unique_ptr<ByteSource> voxels;
  bool verified = false;  // the checksum of the file with the voxels was compared
};

// The public view of a checked header.
ScanInfo describe_header(const ScanHeader& header, const std::vector<Extension>& extensions);

}  // namespace sr
