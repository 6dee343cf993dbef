// What tests of runs of training share: a small network, refusals, logs.
#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/base/status.h"
#include "weights/schema.h"
#include "weights/weights_error.h"

namespace sr::test {

inline ModelDescription tiny() {
  ModelDescription model;
  model.blocks = model.units = 1;
  model.growth = 2;
  return model;
}

struct Refusal {
  Status status = Status::ok;
  std::string sentence;
};

template <class F>
Refusal refusal(F call) {
  try {
    call();
  } catch (const Error& e) {
    return {e.status, e.what()};
  } catch (const WeightsError& e) {
    return {Status::bad_weights, e.what()};
  }
  return {};
}

inline std::vector<std::string> lines(const std::filesystem::path& path) {
  std::ifstream file(path);
  std::vector<std::string> result;
  for (std::string line; std::getline(file, line);) result.push_back(line);
  return result;
}

inline std::vector<int64_t> steps_in(const std::filesystem::path& log, const std::string& kind) {
  std::vector<int64_t> steps;
  for (const std::string& line : lines(log))
    if (const auto record = nlohmann::json::parse(line); record.at("kind") == kind) steps.push_back(record.at("step"));
  return steps;
}

}  // namespace sr::test
