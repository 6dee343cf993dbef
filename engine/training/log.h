// What happened in a run, for people, for programs and for TensorBoard's readers.
//
//   log.jsonl       one JSON object a line: {"kind": "step", "step": 10, ...}; docs/training.md has the kinds
//   csv/<tag>.csv   "Wall time,Step,Value" and a line a record, as TensorBoard's own downloads have it
#pragma once

#include <cstdio>
#include <filesystem>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "engine/report/svg_chart.h"
#include "engine/training/training_engine.h"
#include "engine/training/validate.h"

namespace sr::train {

// 1 - loss / input_loss: 0 is what doing nothing gives, 1 perfect.
double gain(const StepResult& result);

class Log {
 public:
  // In the folder of a run. What an earlier process wrote of steps after `last_step` is cut off, for these are taken
  // again: each step stands in the log once. Throws Error{bad_output}.
  explicit Log(const std::filesystem::path& folder, int64_t last_step = 0);

  // Each is in the file when the call returns.
  void note(const char* kind, int64_t step, const nlohmann::ordered_json& fields);
  // A record of figures after `fields`, each of which also goes to csv/<prefix><name>.csv.
  using Figures = std::vector<std::pair<const char*, double>>;
  void figures(const char* kind, int64_t step, const std::string& prefix, const Figures& figures,
               nlohmann::ordered_json fields = nlohmann::ordered_json::object());
  void step(int64_t step, const StepResult& result, double learning_rate, double steps_per_second);
  // What scans there are, and `figures`, which also go to csv/validation_<name>.csv.
  void validation(int64_t step, const Validation& validation, const Figures& figures = {},
                  nlohmann::ordered_json fields = nlohmann::ordered_json::object());

  // All values so far of a tag that is drawn, over the steps: "loss", "psnr", ... (log.cpp).
  const Curve& curve(const std::string& tag) const;

 private:
  struct Closer {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Closer>;
  void append(File& file, const std::filesystem::path& path, const std::string& text);
  void value(const std::string& tag, double time, int64_t step, double value);
  void cut(int64_t last_step);
  void remember(const nlohmann::json& record);

  std::filesystem::path folder_;
  File lines_;
  std::map<std::string, File> csv_;
  std::map<std::string, Curve> curves_;
};

}  // namespace sr::train
