#include "engine/training/gan_schedule.h"

namespace sr::train {

int64_t critic_steps_before(const GanSchedule& s, int64_t generator_steps) {
  const int64_t extras = s.extra_every > 0 ? generator_steps / s.extra_every : 0;
  return s.first + s.per_step * (generator_steps + 1) + s.extra * extras;
}

Turn next_turn(const GanSchedule& schedule, int64_t critic_steps, int64_t generator_steps) {
  return critic_steps < critic_steps_before(schedule, generator_steps) ? Turn::critic : Turn::generator;
}

}  // namespace sr::train
