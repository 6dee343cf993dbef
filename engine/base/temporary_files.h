// The unfinished files of this process, where a signal handler can get at them: a program that a signal ends unwinds
// nothing, so no destructor would remove them.
#pragma once

namespace sr {

// A file that the process will have removed as long as this lives. To be made before the file itself, so that no
// signal falls between the two. A path beyond what the table holds is left out: it then stays behind after a signal.
class LiveTemporary {
 public:
  LiveTemporary() = default;
  ~LiveTemporary() { forget(); }
  LiveTemporary(const LiveTemporary&) = delete;
  LiveTemporary& operator=(const LiveTemporary&) = delete;

  void remember(const char* path);  // in place of an earlier one
  void forget();

 private:
  int slot_ = -1;
};

// Unlinks all of them. Calls nothing that a signal handler may not call.
void remove_live_temporaries() noexcept;

}  // namespace sr
