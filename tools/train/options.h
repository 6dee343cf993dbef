// The command line of srtrain.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/device_option.h"
#include "tools/train/data.h"
#include "tools/train/loop.h"
#include "tools/train/training_engine.h"
#include "weights/weights_file.h"

namespace sr::train {

struct Options {
  DataOptions data;
  std::vector<std::string> factors{"2x2x1"};
  std::vector<std::string> favour;  // "NAME=N"
  std::optional<std::string> max_memory;

  std::optional<std::string> model, normalization;  // default: those of --init, or else b4u4 and foreground
  std::optional<Interpolation> input;
  std::optional<BatchNorm> batch_norm;
  std::filesystem::path init;

  TrainingOptions training;
  DeviceArguments device;

  LoopOptions loop;
  std::filesystem::path out;
  bool resume = false;
};

void add_options(CLI::App& app, Options& options);

// Words become values. Throws Error{bad_usage}.
void interpret(Options& options);

// The network to begin with: --init, or random numbers, where a residual network is its own input and norms do nothing.
// Throws Error{bad_weights} where --init is of another architecture than --model, WeightsError.
Weights starting_weights(const Options& options);

// Every option that the numbers depend on, by name, for --resume to compare. `start` is starting_weights()'s.
nlohmann::json options_that_matter(const Options& options, const Weights& start);

}  // namespace sr::train
