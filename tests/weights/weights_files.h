// What the tests of weights and checkpoints share.
#pragma once

#include <filesystem>
#include <fstream>
#include <functional>
#include <random>
#include <string>

#include "tests/support/catch.h"
#include "weights/file_io.h"
#include "weights/weights_error.h"

// A folder of this process that vanishes with the test.
struct Folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("srengine_weights_" + std::to_string(std::random_device{}()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::filesystem::path operator/(const std::string& name) const { return path / name; }
};

inline void write_bytes(const std::filesystem::path& path, sr::Bytes bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

inline const std::string accepted = "(accepted)";

// The sentence that `call` is refused with. Any other exception than WeightsError fails the test.
inline std::string refusal(const std::function<void()>& call) {
  try {
    call();
  } catch (const sr::WeightsError& e) {
    return e.what();
  }
  return accepted;
}

inline void mentions(const std::string& sentence, const std::string& part) {
  INFO(sentence);
  INFO("expected: " << part);
  CHECK(sentence.find(part) != std::string::npos);
}
