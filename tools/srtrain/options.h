// The command line of srtrain, and of srtrain gan.
#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/training/data.h"
#include "engine/training/training_engine.h"
#include "tools/common/device_option.h"
#include "tools/srtrain/gan_loop.h"
#include "tools/srtrain/loop.h"
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

  std::optional<GanOptions> gan;  // of srtrain gan alone; --generator is `init`
  const char* init_option() const { return gan ? "--generator" : "--init"; }
};

// What numbers options of both may be.
namespace ranges {
inline const auto positive = CLI::Range(int64_t{1}, int64_t{1} << 40);
inline const auto not_negative = CLI::Range(int64_t{0}, int64_t{1} << 40);
inline const auto learning_rate = CLI::Range(1e-12, 10.0);
inline const auto decay = CLI::Range(0.0, 0.999999999);  // of a mean over steps: one of 1 would never move
}  // namespace ranges

void add_options(CLI::App& app, Options& options);

// Those of srtrain gan, with its defaults. gan_options.cpp.
void add_gan_options(CLI::App& app, Options& options);

// What both have: groups of options, in the order of --help.
void add_data_options(CLI::App& app, Options& options);
void add_preparation_options(CLI::Option_group* network, Options& options);
void add_step_options(CLI::Option_group* optimisation, Options& options);
void add_update_options(CLI::Option_group* optimisation, Options& options);
void add_compute_options(CLI::App& app, Options& options);
void add_run_options(CLI::App& app, Options& options);

// Words become values. Throws Error{bad_usage}.
void interpret(Options& options);

// The network to begin with: --init, grown where --model asks for more blocks or units (weights/grow.h), or random
// numbers, where a residual network is its own input and norms do nothing. unmeasured: where it is not null, the names
// of the running statistics that a grown network still has to measure (engine/training/growing.h) are added. Throws
// Error{bad_weights} where --init cannot become --model, WeightsError.
Weights starting_weights(const Options& options, std::vector<std::string>* unmeasured = nullptr);

// Every option that the numbers depend on, by name, for --resume to compare. `start` is starting_weights()'s.
nlohmann::json options_that_matter(const Options& options, const Weights& start);

// Of srtrain gan: words become values, and which of them matter.
void interpret_gan(Options& options);
nlohmann::json gan_options_that_matter(const GanOptions& gan);

}  // namespace sr::train
