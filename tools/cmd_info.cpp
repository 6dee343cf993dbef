// srengine info: what the program understands of a weights file or of a scan.
#include <fmt/core.h>

#include <fstream>

#include "engine/base/status.h"
#include "engine/nifti/nifti_describe.h"
#include "tools/commands.h"
#include "weights/checkpoint.h"
#include "weights/safetensors.h"
#include "weights/weights_file.h"

namespace sr {
namespace {

enum class FileKind { weights, checkpoint, scan };

// By content, so that a renamed file is understood; by name too, so that a damaged .bin is reported as weights. The
// voxels of an .img may begin with anything.
FileKind kind_of(const std::filesystem::path& path) {
  if (!std::filesystem::is_regular_file(path) || path.extension() == ".img") return FileKind::scan;
  uint8_t start[9] = {};
  std::ifstream(path, std::ios::binary).read(reinterpret_cast<char*>(start), sizeof start);
  if (looks_like_safetensors(start)) return FileKind::weights;
  if (looks_foreign(start)) return FileKind::checkpoint;
  return path.extension() == ".bin" ? FileKind::weights : FileKind::scan;
}

std::string describe_file(const std::filesystem::path& path) {
  switch (kind_of(path)) {
    case FileKind::weights:
      return describe(load_weights(path), path);
    case FileKind::checkpoint:
      throw Error(Status::bad_weights,
                  fmt::format("{}: is a checkpoint of another program; `srengine import {} -o W.bin` makes a weights "
                              "file of it",
                              path.string(), path.string()));
    case FileKind::scan:
      break;
  }
  return describe(ScanReader(path));
}

}  // namespace

void add_info(CLI::App& app) {
  auto files = std::make_shared<std::vector<std::filesystem::path>>();
  CLI::App* c = app.add_subcommand("info", "Print what is in a weights file or a scan");
  c->add_option("file", *files, "weights files and NIfTI scans")->required();
  c->callback([files] {
    for (const std::filesystem::path& path : *files)
      fmt::print("{}{}", &path == files->data() ? "" : "\n", describe_file(path));
  });
}

}  // namespace sr
