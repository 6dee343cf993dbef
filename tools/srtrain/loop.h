// The run itself: step after step, with what is validated, logged and saved between them.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "engine/training/log.h"
#include "engine/training/run_folder.h"
#include "engine/training/schedule.h"
#include "engine/training/training_engine.h"
#include "engine/training/validate.h"

namespace sr::train {

struct LoopOptions {
  int64_t steps = 800'000;  // in all, those before a resume included
  Schedule schedule;
  double average = 0;  // decay of the moving average of the weights; 0: none is kept
  int64_t validate_every = 2000, save_every = 500, log_every = 10;
  bool quiet = false;
};

struct Job {
  std::function<Batch(int64_t step)> batch;  // a function of the step alone, or else no run can be repeated
  std::function<Validation(const Weights& weights, const Progress& progress)> validate;  // empty: nothing to validate
  std::function<bool()> stop;  // true on any rank: the step in work is the last one
};

// Goes on from the checkpoint, which is saved before the first step (so that a folder that cannot be written is found
// now) and at the end. Returns the weights to use: best.bin, or last.bin where nothing is validated.
// Throws Error{interrupted} where `stop` said so, when all is saved; Error{some_inputs_failed} where the loss or the
// gradient is not finite: the checkpoint before stays as it is. Where another rank fails, the last step that all have
// done is saved, and OtherRankFailed goes on.
std::filesystem::path train(TrainingEngine& engine, Checkpoint checkpoint, const LoopOptions& options, const Job& job,
                            Collective& collective, RunFolder& folder, Log& log);

// The same steps on a rank other than 0, which keeps no records. Throws as train() does.
void follow(TrainingEngine& engine, const Checkpoint& checkpoint, const LoopOptions& options, const Job& job,
            Collective& collective);

}  // namespace sr::train
