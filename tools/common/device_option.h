// --device and --precision, as run, bench and table take them; degrade takes --device alone.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "engine/backends/backend.h"

namespace sr {

struct DeviceArguments {
  std::string device = "auto";
  cuda::Precision precision = cuda::Precision::fp32;
};

void add_device_option(CLI::App* command, std::string& device, const char* help);
void add_device_options(CLI::App* command, DeviceArguments& a);

// "auto", "cpu", "cuda", "cuda:1" or "cuda:0,1" into the options. Throws Error{bad_usage}.
void apply(const DeviceArguments& a, BackendOptions& options);

}  // namespace sr
