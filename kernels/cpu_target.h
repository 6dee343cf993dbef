// Which instruction set the CPU kernels use. By default the best that the processor has.
#pragma once

#include <string>
#include <vector>

namespace sr {

// Names of the targets that were built and that this processor can run, best first. Example: {"AVX2", "SSE4"}.
std::vector<std::string> cpu_targets();

// The target in use.
std::string cpu_target();

// Uses the named target from now on, in the whole process; an empty name goes back to the best. False, and nothing
// changes, where cpu_targets() does not have the name. Not while kernels run.
bool force_cpu_target(const std::string& name);

}  // namespace sr
