// Which instruction sets the kernels were built for and run on here.
#include "kernels/cpu_target.h"

#include <algorithm>
#include <cstdio>

#include "tests/support/catch.h"

using namespace sr;

TEST_CASE("cpu targets: the best one is in use, and it is one of this architecture's") {
  const std::vector<std::string> targets = cpu_targets();
  REQUIRE_FALSE(targets.empty());
  std::printf("cpu targets: in use %s, of", cpu_target().c_str());
  for (const std::string& name : targets) std::printf(" %s", name.c_str());
  std::printf("\n");
  CHECK(cpu_target() == targets.front());
#if defined(__aarch64__)
  // NEON_WITHOUT_AES is the same for floats, on a processor without instructions for cryptography.
  CHECK(std::ranges::all_of(targets, [](const std::string& name) { return name.starts_with("NEON"); }));
#elif defined(__x86_64__)
  CHECK(std::ranges::none_of(targets, [](const std::string& name) { return name.starts_with("NEON"); }));
#endif
}
