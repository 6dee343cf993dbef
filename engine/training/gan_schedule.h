// Whose turn it is when a critic and a generator are trained (docs/spec.md section 9).
#pragma once

#include <cstdint>

namespace sr::train {

struct GanSchedule {
  int64_t first = 10'000;     // steps of the critic alone, before all others
  int64_t per_step = 5;       // steps of the critic before each of the generator
  int64_t extra_every = 500;  // after so many steps of the generator; 0: never
  int64_t extra = 200;        // so many more of the critic
};

// Steps of the critic that come before the generator takes one more step than `generator_steps`.
int64_t critic_steps_before(const GanSchedule& schedule, int64_t generator_steps);

enum class Turn { critic, generator };
// A function of how many steps of both are done: nothing else need be kept.
Turn next_turn(const GanSchedule& schedule, int64_t critic_steps, int64_t generator_steps);

}  // namespace sr::train
