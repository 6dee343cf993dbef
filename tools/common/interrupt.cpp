#include "tools/common/interrupt.h"

#include <csignal>
#include <initializer_list>

#include "engine/base/status.h"
#include "engine/base/temporary_files.h"

namespace sr {
namespace {

volatile std::sig_atomic_t catching = 0, signalled = 0;

void on_signal(int number) {
  if (catching && !signalled && number != SIGHUP) {
    signalled = 1;
    return;
  }
  remove_live_temporaries();
  std::signal(number, SIG_DFL);
  std::raise(number);  // takes effect when the handler returns: until then the signal is blocked
}

}  // namespace

void clean_up_on_signals() {
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;  // where the program goes on, no read or write of the interrupted code fails
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    struct sigaction before = {};
    sigaction(number, nullptr, &before);
    if (number != SIGHUP || before.sa_handler != SIG_IGN) sigaction(number, &action, nullptr);
  }
}

void catch_interrupts() {
  catching = 1;
}

bool interrupted() {
  return signalled != 0;
}

void stop_if_interrupted() {
  if (interrupted()) throw Error(Status::interrupted, "interrupted");
}

}  // namespace sr
