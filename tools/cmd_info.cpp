// srengine info: what the program understands of a weights file or of a scan.
#include <fmt/core.h>

#include <fstream>

#include "engine/nifti_describe.h"
#include "tools/commands.h"
#include "weights/safetensors.h"
#include "weights/weights_file.h"

namespace sr {
namespace {

// By content, so that a renamed file is understood; by name too, so that a damaged .bin is reported as weights.
bool is_weights_file(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path)) return false;
  uint8_t start[9] = {};
  std::ifstream(path, std::ios::binary).read(reinterpret_cast<char*>(start), sizeof start);
  return looks_like_safetensors(start) || path.extension() == ".bin";
}

}  // namespace

void add_info(CLI::App& app) {
  auto files = std::make_shared<std::vector<std::filesystem::path>>();
  CLI::App* c = app.add_subcommand("info", "Print what is in a weights file or a scan");
  c->add_option("file", *files, "weights files and NIfTI scans")->required();
  c->callback([files] {
    for (const std::filesystem::path& path : *files)
      fmt::print("{}{}", &path == files->data() ? "" : "\n",
                 is_weights_file(path) ? describe(load_weights(path), path) : describe(ScanReader(path)));
  });
}

}  // namespace sr
