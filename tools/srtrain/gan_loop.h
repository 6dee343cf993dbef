// Training against a critic (docs/spec.md section 9, docs/wgan-gp.md): steps of two networks by turns.
#pragma once

#include <filesystem>
#include <vector>

#include "engine/training/critic_engine.h"
#include "engine/training/gan_schedule.h"
#include "engine/training/guard.h"
#include "tools/srtrain/loop.h"

namespace sr::train {

// Beside LoopOptions, whose steps, learning rate and average are those of the generator.
struct GanOptions {
  CriticModel model;
  CriticOptions critic;
  double critic_rate = 5e-6;
  GanSchedule schedule;
  GuardLimits guard;
  uint64_t seed = 1;  // of the critic's first numbers, and of where the penalty is taken
};

// One number a patch, from 0 to 1: a function of seed and step alone.
std::vector<float> penalty_places(uint64_t seed, int64_t critic_step, int n);

// As train() of loop.h, on one process. options.validate_every counts steps of the generator, save_every those of both.
// At each validation the mean Wasserstein estimate since the one before decides: the least makes best.bin.
// Also throws Error{some_inputs_failed} where the guard says so: the checkpoint before stays as it is.
std::filesystem::path train_gan(TrainingEngine& engine, Checkpoint checkpoint, const LoopOptions& options,
                                const GanOptions& gan, const Job& job, RunFolder& folder, Log& log);

}  // namespace sr::train
