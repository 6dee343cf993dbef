// The subcommands of `srengine`, one file each. A callback writes results to stdout and progress to stderr and throws
// Error or WeightsError for main to report.
#pragma once

#include <CLI/CLI.hpp>

namespace sr {

void add_run(CLI::App& app);
void add_bench(CLI::App& app);
void add_degrade(CLI::App& app);
void add_upsample(CLI::App& app);
void add_evaluate(CLI::App& app);
void add_table(CLI::App& app);
void add_phantom(CLI::App& app);
void add_import(CLI::App& app);
void add_export(CLI::App& app);
void add_info(CLI::App& app);
void add_backends(CLI::App& app);

}  // namespace sr
