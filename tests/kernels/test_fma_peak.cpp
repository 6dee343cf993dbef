// The yardstick of the benchmarks on a machine that is busy with something else.
#include "kernels/fma_peak.h"

#include <sched.h>

#include "tests/support/catch.h"

using namespace sr;

TEST_CASE("threads that are in each other's way count as if each had its processor") {
  // One processor for all: as busy as a machine can be, and each thread runs half of the time.
  cpu_set_t usable, one;
  REQUIRE(::sched_getaffinity(0, sizeof usable, &usable) == 0);
  CPU_ZERO(&one);
  for (int cpu = 0; cpu < CPU_SETSIZE && CPU_COUNT(&one) == 0; cpu++)
    if (CPU_ISSET(cpu, &usable)) CPU_SET(cpu, &one);
  REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
  const double alone = measure_fma_peak_gflops(1), both = measure_fma_peak_gflops(2);
  ::sched_setaffinity(0, sizeof usable, &usable);
  INFO(alone << " and " << both << " GFLOP/s");
  // 2 and 2, but for what other programs leave of the processor.
  CHECK(both > 1.4 * alone);
  CHECK(both < 2.8 * alone);
}
