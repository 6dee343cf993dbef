// For tests that need a terminal.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "tests/support/catch.h"

namespace sr::test {

// A bare chroot, where nobody has mounted /dev/pts, has no terminals. That they cannot be had for another reason is for
// the test to find.
inline bool without_terminals() {
  const int terminal = ::posix_openpt(O_RDWR | O_NOCTTY);
  if (terminal >= 0) ::close(terminal);
  const bool none = terminal < 0 && (errno == ENODEV || errno == ENOENT);
  if (none) WARN("skipped: no terminals here (mount -t devpts devpts /dev/pts)");
  return none;
}

}  // namespace sr::test
