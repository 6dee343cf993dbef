#include "tools/common/device_option.h"

#include <fmt/core.h>

#include <algorithm>

#include "tools/common/choice.h"

namespace sr {
namespace {

[[noreturn]] void refuse(const std::string& text) {
  throw Error(Status::bad_usage, fmt::format("--device {}: it takes auto, cpu, cuda, or cuda and numbers of GPUs, each "
                                             "once, such as cuda:0,1",
                                             text));
}

}  // namespace

void add_device_option(CLI::App* command, std::string& device, const char* help) {
  command->add_option("--device", device, help)->capture_default_str();
}

void add_device_options(CLI::App* command, DeviceArguments& a) {
  add_device_option(
      command, a.device,
      "auto: the first GPU, or the CPU where there is none; cpu; cuda, cuda:1, cuda:0,1: these GPUs or an "
      "error");
  using enum cuda::Precision;
  Choices<cuda::Precision> words;
  for (const cuda::Precision p : {fp32, tf32, f16, bf16}) words.emplace_back(cuda::to_string(p), p);
  add_choice<cuda::Precision>(command, "--precision", a.precision, words,
                              "how GPUs store and multiply features (default: fp32; the CPU always does fp32)");
}

void apply(const DeviceArguments& a, BackendOptions& options) {
  options.precision = a.precision;
  options.gpus.clear();
  if (a.device == "auto" || a.device == "cpu") {
    options.device = a.device == "cpu" ? DeviceKind::cpu : DeviceKind::automatic;
    return;
  }
  options.device = DeviceKind::cuda;
  if (a.device == "cuda") return;
  if (a.device.rfind("cuda:", 0) != 0) refuse(a.device);
  for (size_t at = 5;;) {
    const size_t comma = std::min(a.device.find(',', at), a.device.size());
    const std::string number = a.device.substr(at, comma - at);
    if (number.empty() || number.size() > 3 || number.find_first_not_of("0123456789") != std::string::npos)
      refuse(a.device);
    const int gpu = std::stoi(number);
    if (std::count(options.gpus.begin(), options.gpus.end(), gpu) > 0) refuse(a.device);
    options.gpus.push_back(gpu);
    if (comma == a.device.size()) return;
    at = comma + 1;
  }
}

}  // namespace sr
