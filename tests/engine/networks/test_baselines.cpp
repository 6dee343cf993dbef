// The interpolation baselines on real scans, against NumPy and scikit-image (tests/golden/kspace/make_scan_golden.py).
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/images/metrics.h"
#include "engine/images/resample.h"
#include "engine/nifti/nifti.h"
#include "tests/support/catch.h"

using namespace sr;

namespace {

// Scans that the repository may not carry: in $SRENGINE_SHARED/data/eval, or beside the repository.
std::filesystem::path scan_folder() {
  const char* shared = std::getenv("SRENGINE_SHARED");
  const std::filesystem::path root = shared ? shared : SR_TEST_DATA "/../../shared";
  return root / "data" / "eval";
}

}  // namespace

TEST_CASE("linear and sinc interpolation of real scans have the reference's PSNR, SSIM and NRMSE") {
  const std::string name = GENERATE("seg3d_mr_t1", "fnndsc_child_mprage", "niivue_gd_t1_brain");
  const std::filesystem::path path = scan_folder() / (name + ".nii.gz");
  if (!std::filesystem::exists(path)) {
    WARN("skipped: " << path.string() << " is absent");
    return;
  }
  std::ifstream file(SR_TEST_DATA "/golden/kspace/scans.json");
  const nlohmann::json golden = nlohmann::json::parse(file).at(name);
  const Volume image = ScanReader(path).read(0);
  const Volume low = truncate_kspace(image, {2, 2, 1});
  for (const Interpolation method : {Interpolation::linear, Interpolation::sinc}) {
    const nlohmann::json& expected = golden.at(method == Interpolation::sinc ? "sinc" : "linear");
    const Metrics m = compare(image, upsample(low, image.size, method), 2);
    CAPTURE(name, static_cast<int>(method));
    // Images are rounded to float32 here and not in the reference: 1e-7 of the data range where errors are about 1e-2.
    CHECK(m.psnr == Approx(expected.at("psnr").get<double>()).epsilon(1e-6));
    CHECK(m.ssim == Approx(expected.at("ssim").get<double>()).epsilon(1e-6));
    CHECK(m.nrmse == Approx(expected.at("nrmse").get<double>()).epsilon(1e-6));
  }
}
