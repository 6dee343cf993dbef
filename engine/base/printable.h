// Text out of files on its way to a terminal, which control characters could drive.
#pragma once

#include <string>

namespace sr {

// Control characters become '?': C0, DEL, and C1 as UTF-8 spells it (0xc2, then 0x80 to 0x9f).
inline std::string printable(std::string text) {
  unsigned char before = 0;
  for (char& c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7f || (before == 0xc2 && byte >= 0x80 && byte < 0xa0)) {
      c = '?';
      if (byte >= 0x80) (&c)[-1] = '?';
    }
    before = byte;
  }
  return text;
}

}  // namespace sr
