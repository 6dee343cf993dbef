// Where a plugin is looked for.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <vector>

namespace sr {

// Files to try, in this order: the one that the environment variable names, and no other; or else beside the program,
// in ../lib/srengine of it, and, without a folder, where the dynamic linker looks.
inline std::vector<std::filesystem::path> plugin_files(const char* variable, const char* library) {
  if (const char* named = std::getenv(variable)) return {named};
  std::vector<std::filesystem::path> files;
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (!error) {
    files.push_back(program.parent_path() / library);
    files.push_back(program.parent_path().parent_path() / "lib/srengine" / library);
  }
  files.emplace_back(library);
  return files;
}

}  // namespace sr
