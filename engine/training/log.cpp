#include "engine/training/log.h"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstring>
#include <fstream>
#include <limits>
#include <span>
#include <string_view>

#include "engine/base/status.h"
#include "weights/file_io.h"
#include "weights/weights_error.h"

namespace sr::train {
namespace {

namespace fs = std::filesystem;

// What the curves show: in which records it stands, and the tag of its CSV file.
struct Shown {
  const char *kind, *pointer, *tag;
};
constexpr Shown kShown[] = {
    {"step", "/loss", "loss"},
    {"step", "/input_loss", "input_loss"},
    {"critic", "/wasserstein", "critic_wasserstein"},
    {"generator", "/loss", "generator_loss"},
    {"generator", "/input_loss", "generator_input_loss"},
    {"validation", "/wasserstein", "validation_wasserstein"},
    {"validation", "/mean/psnr", "psnr"},
    {"validation", "/input/psnr", "input_psnr"},
};
constexpr const char* kCsvHeader = "Wall time,Step,Value\n";

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

[[noreturn]] void not_written(const fs::path& path) {
  throw Error(Status::bad_output, fmt::format("{}: the log cannot be written ({}); the last checkpoint is intact: make "
                                              "room, then --resume",
                                              path.string(), std::strerror(errno)));
}

void replace(const fs::path& path, const std::string& text) {
  try {
    write_file_whole(path, Bytes(reinterpret_cast<const uint8_t*>(text.data()), text.size()));
  } catch (const NotWritten& e) {
    throw Error(Status::bad_output, e.what());
  }
}

// The lines of a file that end; one that a killed process left unfinished is dropped.
template <class Keep>
std::string kept_lines(const fs::path& path, Keep keep) {
  std::ifstream file(path, std::ios::binary);
  std::string line, kept;
  while (std::getline(file, line) && !file.eof())
    if (keep(line)) kept += line + "\n";
  return kept;
}

// JSON has no infinities and no NaN: they become null.
nlohmann::ordered_json json_of(const Score& score) {
  return {{"psnr", score.psnr}, {"ssim", score.ssim}, {"mse", score.mse}};
}

}  // namespace

double gain(const StepResult& result) {
  return result.input_loss > 0 ? 1 - result.loss / result.input_loss : 0;
}

Log::Log(const fs::path& folder, int64_t last_step) : folder_(folder) {
  std::error_code error;
  fs::create_directories(folder_ / "csv", error);
  if (fs::exists(folder_ / "log.jsonl", error)) cut(last_step);
}

void Log::cut(int64_t last_step) {
  replace(folder_ / "log.jsonl", kept_lines(folder_ / "log.jsonl", [&](const std::string& line) {
            const nlohmann::json record = nlohmann::json::parse(line, nullptr, false);
            if (!record.is_object() || !record.contains("step") || !record["step"].is_number_integer()) return false;
            if (record["step"].get<int64_t>() > last_step) return false;
            remember(record);
            return true;
          }));
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_ / "csv", error)) {
    if (entry.path().extension() != ".csv") continue;
    replace(entry.path(), kept_lines(entry.path(), [&](const std::string& line) {
              const size_t comma = line.find(',');
              if (line + "\n" == kCsvHeader) return true;
              return comma != std::string::npos && std::strtoll(line.c_str() + comma + 1, nullptr, 10) <= last_step;
            }));
  }
}

// Of a record that an earlier process wrote, what the curves show.
void Log::remember(const nlohmann::json& record) {
  for (const auto& [kind, pointer, tag] : kShown) {
    const nlohmann::json::json_pointer place(pointer);
    if (record.value("kind", "") != kind || !record.contains(place)) continue;
    const nlohmann::json& value = record.at(place);
    curves_[tag].x.push_back(record.at("step").get<double>());
    curves_[tag].y.push_back(value.is_number() ? value.get<double>() : std::numeric_limits<double>::quiet_NaN());
  }
}

void Log::append(File& file, const fs::path& path, const std::string& text) {
  if (!file) file.reset(std::fopen(path.c_str(), "ab"));
  if (!file || std::fwrite(text.data(), 1, text.size(), file.get()) != text.size() || std::fflush(file.get()) != 0)
    not_written(path);
}

void Log::value(const std::string& tag, double time, int64_t step, double value) {
  if (std::ranges::find(kShown, tag, &Shown::tag) != std::end(kShown)) {  // the others would be memory for nothing
    curves_[tag].x.push_back(static_cast<double>(step));
    curves_[tag].y.push_back(value);
  }
  const fs::path path = folder_ / "csv" / (tag + ".csv");
  File& file = csv_[tag];
  std::error_code error;
  const bool fresh = !file && (!fs::exists(path, error) || fs::file_size(path, error) == 0);
  append(file, path, fmt::format("{}{:.6f},{},{}\n", fresh ? kCsvHeader : "", time, step, value));
}

void Log::note(const char* kind, int64_t step, const nlohmann::ordered_json& fields) {
  nlohmann::ordered_json record = {{"kind", kind}, {"step", step}, {"wall_time", wall_time()}};
  record.update(fields);
  append(lines_, folder_ / "log.jsonl",
         record.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n");
}

void Log::figures(const char* kind, int64_t step, const std::string& prefix, const Figures& figures,
                  nlohmann::ordered_json fields) {
  const double time = wall_time();
  for (const auto& [name, number] : figures) fields[name] = number;
  note(kind, step, fields);
  for (const auto& [name, number] : figures) value(prefix + name, time, step, number);
}

void Log::step(int64_t step, const StepResult& r, double learning_rate, double steps_per_second) {
  figures("step", step, "",
          {{"loss", r.loss},
           {"input_loss", r.input_loss},
           {"gain", gain(r)},
           {"learning_rate", learning_rate},
           {"gradient_norm", r.gradient_norm},
           {"steps_per_second", steps_per_second}});
}

void Log::validation(int64_t step, const Validation& v, const Figures& figures, nlohmann::ordered_json fields) {
  const double time = wall_time();
  for (const auto& [name, number] : figures) {
    fields[name] = number;
    value(std::string("validation_") + name, time, step, number);
  }
  for (const UnmeasuredScan& scan : v.skipped)
    fields["skipped"].push_back({{"name", scan.name}, {"reason", scan.reason}});
  if (v.scans.empty()) return note("validation", step, fields);
  nlohmann::ordered_json scans = nlohmann::ordered_json::array();
  for (const ScanScore& scan : v.scans) {
    nlohmann::ordered_json of_scan = {{"name", scan.name}};
    of_scan.update(json_of(scan.result));
    of_scan["input"] = json_of(scan.input);
    scans.push_back(of_scan);
  }
  fields.update({{"mean", json_of(v.result)}, {"input", json_of(v.input)}, {"scans", scans}});
  note("validation", step, fields);
  for (const auto& [tag, number] : {std::pair{"psnr", v.result.psnr}, std::pair{"ssim", v.result.ssim},
                                    std::pair{"mse", v.result.mse}, std::pair{"input_psnr", v.input.psnr}})
    value(tag, time, step, number);
}

const Curve& Log::curve(const std::string& tag) const {
  static const Curve none;
  const auto found = curves_.find(tag);
  return found == curves_.end() ? none : found->second;
}

}  // namespace sr::train
