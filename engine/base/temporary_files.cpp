#include "engine/base/temporary_files.h"

#include <unistd.h>

#include <atomic>
#include <climits>
#include <cstring>
#include <iterator>

namespace sr {
namespace {

enum State { unused, being_written, live };

// Thirteen files are open at once at most in this program: three pairs of a scan that is being written, three of the
// next one, a JSON file. Static, with paths of its own: a handler must not
// meet memory that another thread is giving back.
struct Slot {
  std::atomic<State> state{unused};
  char path[PATH_MAX];
};
Slot table[16];
static_assert(std::atomic<State>::is_always_lock_free);  // a lock held by the interrupted code would never open

}  // namespace

void LiveTemporary::remember(const char* path) {
  forget();
  const size_t length = std::strlen(path);
  if (length >= sizeof table[0].path) return;
  for (int i = 0; i < static_cast<int>(std::size(table)); i++) {
    State expected = unused;
    if (!table[i].state.compare_exchange_strong(expected, being_written)) continue;
    std::memcpy(table[i].path, path, length + 1);
    table[i].state = live;
    slot_ = i;
    return;
  }
}

void LiveTemporary::forget() {
  if (slot_ >= 0) table[slot_].state = unused;
  slot_ = -1;
}

void remove_live_temporaries() noexcept {
  for (Slot& slot : table)
    if (slot.state == live) ::unlink(slot.path);
}

}  // namespace sr
