// What this process may use of the machine.
#pragma once

#include <cstdint>

namespace sr {

// Processors that this process may run on, 1 at least.
int usable_processors();

// Bytes of physical memory.
int64_t physical_memory();

}  // namespace sr
