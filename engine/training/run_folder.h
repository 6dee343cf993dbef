// The folder of one run, and the checkpoint in it.
//
//   state.bin   all that the run needs to go on: one file, so that no moment at which the program is killed leaves
//               halves of two checkpoints
//   last.bin    the weights of that checkpoint, as a weights file: what `srengine run` takes
//   best.bin    those of the validation with the least mean squared error, or Wasserstein estimate
//   log.jsonl, csv/   engine/training/log.h
//   curves.svg        its figures over the steps
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/training/gan_state.h"
#include "engine/training/training_engine.h"
#include "weights/file_io.h"
#include "weights/weights_file.h"

namespace sr::train {

struct Checkpoint {
  Weights weights;              // as they are trained, running statistics included
  OptimiserState state;         // state.step steps are done
  std::vector<double> average;  // the moving average of the trained numbers (parameters.h); empty where none is kept
  std::optional<double> best_mse;
  int64_t best_step = 0, validated_step = 0;          // the last validation's
  nlohmann::json options = nlohmann::json::object();  // those that the numbers depend on, by name
  std::optional<GanState> gan;                        // of a run against a critic

  int64_t steps() const { return state.step + (gan ? gan->critic.optimiser.step : 0); }  // of both networks
};

// "step 4"; "critic step 12, generator step 3".
std::string place(const Checkpoint& checkpoint);

// Before the first step.
Checkpoint first_checkpoint(Weights weights, bool with_average, nlohmann::json options);

// What is saved for use and validated: the average where there is one.
Weights trained_weights(const Checkpoint& checkpoint);

// What state.bin holds; the way back throws WeightsError, whose sentence begins with `where`.
std::vector<uint8_t> to_bytes(const Checkpoint& checkpoint);
Checkpoint checkpoint_from(Bytes bytes, const std::string& where);

// "--batch 6 there, 8 here", one for each option in which they differ; empty where the run may go on.
std::vector<std::string> differences(const nlohmann::json& there, const nlohmann::json& here);

class RunFolder {
 public:
  enum class Open { fresh, resume };
  // fresh: makes the folder; one with anything in it is refused. resume: it holds a state.bin. Either way it is this
  // process's until it ends. Throws Error{bad_usage, bad_output}.
  RunFolder(const std::filesystem::path& folder, Open how);
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  // Each file appears whole or not at all. Throw Error{bad_output}: the checkpoint before is intact then.
  void save(const Checkpoint& checkpoint);       // last.bin, then state.bin
  void save_best(const Checkpoint& checkpoint);  // best.bin
  void save_picture(const std::string& svg);

  Checkpoint load() const;  // of state.bin. Throws WeightsError.
  // Throws Error{bad_usage} with the list of differences.
  void refuse_other_options(const nlohmann::json& there, const nlohmann::json& here) const;

  const std::filesystem::path& path() const { return folder_; }
  std::filesystem::path last() const { return folder_ / "last.bin"; }
  std::filesystem::path best() const { return folder_ / "best.bin"; }
  std::filesystem::path state() const { return folder_ / "state.bin"; }

 private:
  std::filesystem::path folder_;
  int lock_ = -1;
  std::optional<std::string> saved_place_;  // for sentences
};

}  // namespace sr::train
