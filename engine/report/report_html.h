// A report on images against their reference: one HTML file that needs nothing else, no network and no script.
#pragma once

#include <string>
#include <vector>

#include "engine/base/volume.h"
#include "engine/images/metrics.h"
#include "engine/images/overlap.h"

namespace sr {

// One image against its reference. Volumes are the first of a 4D file.
struct ReportedTest {
  std::string name, reference_name;
  const Volume *test, *reference;
  const double (*affine)[4];           // of the reference, voxels to mm
  Metrics metrics;                     // of these two volumes
  std::vector<LabelOverlap> overlaps;  // may be empty
};

struct Report {
  std::string title;
  int plane = 2;                    // slices are perpendicular to this axis: 0 = i, 1 = j, 2 = k
  double cut = 0;                   // k-space was measured up to this share of Nyquist (1/2 for 2x2x1); 0: not known
  std::string summary;              // the table of metrics over subjects, HTML made by the caller; may be empty
  std::vector<ReportedTest> tests;  // those of one reference one behind another
};

// A document around a body, in the style of the report.
std::string html_page(const std::string& title, const std::string& body);

// The document. Throws Error{bad_usage} without tests.
std::string report_html(const Report& report);

}  // namespace sr
