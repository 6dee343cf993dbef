// Signals that end the program: INT (Ctrl-C), TERM and HUP (the terminal has gone). No unfinished file outlives them.
#pragma once

namespace sr {

// From here on a signal removes the unfinished files and then ends the program as it would have done. A HUP that the
// caller has switched off (nohup) stays off.
void clean_up_on_signals();

// From here on the first INT or TERM does not end the program: work looks at interrupted() after each patch and
// unwinds. The second one does.
void catch_interrupts();
bool interrupted();
void stop_if_interrupted();  // throws Error{interrupted}

}  // namespace sr
