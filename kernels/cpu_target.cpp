#include "kernels/cpu_target.h"

#include "kernels/simd_targets.h"
//
#include <hwy/highway.h>

namespace sr {
namespace {

void use_targets(int64_t targets) {
  hwy::SetSupportedTargetsForTest(targets);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace

std::vector<std::string> cpu_targets() {
  // SupportedTargets() answers with what is forced, if something is.
  const int64_t in_use = hwy::SupportedTargets();
  hwy::SetSupportedTargetsForTest(0);
  std::vector<std::string> names;
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) names.push_back(hwy::TargetName(target));
  hwy::SetSupportedTargetsForTest(in_use);
  return names;
}

std::string cpu_target() {
  return hwy::TargetName(hwy::SupportedAndGeneratedTargets().front());
}

bool force_cpu_target(const std::string& name) {
  const int64_t in_use = hwy::SupportedTargets();
  hwy::SetSupportedTargetsForTest(0);
  if (name.empty()) {
    use_targets(0);
    return true;
  }
  for (const int64_t target : hwy::SupportedAndGeneratedTargets())
    if (name == hwy::TargetName(target)) {
      use_targets(target);
      return true;
    }
  hwy::SetSupportedTargetsForTest(in_use);
  return false;
}

}  // namespace sr
