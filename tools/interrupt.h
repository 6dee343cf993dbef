// Ctrl-C and SIGTERM: work stops at the next patch and unwinds, so that nothing half-written stays. A second Ctrl-C
// ends the program at once.
#pragma once

namespace sr {

void catch_interrupts();
bool interrupted();

}  // namespace sr
