// Streams 0, 1 and 2 of a program.
#pragma once

#include <fcntl.h>

namespace sr {

// First thing in main(): a stream that the caller closed would give its number, 1 or 2, to the next file opened, and
// messages would end up in a scan. A stand-in that cannot be written keeps the number.
inline void reserve_standard_streams() {
  for (int stream = 0; stream <= 2; stream++)
    if (::fcntl(stream, F_GETFD) < 0) static_cast<void>(::open("/dev/null", O_RDONLY));
}

}  // namespace sr
