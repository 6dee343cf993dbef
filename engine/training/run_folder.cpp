#include "engine/training/run_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <map>
#include <span>
#include <utility>

#include "engine/base/status.h"
#include "engine/training/parameters.h"
#include "weights/bounded_json.h"
#include "weights/file_io.h"
#include "weights/model_json.h"
#include "weights/safetensors.h"

namespace sr::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kFormatVersion = "1";

template <class T>
Bytes bytes_of(const T& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()};
}

// Of the description and of the numbers: neither may change alone.
std::string checksum(const std::string& description, Bytes numbers) {
  return sha256_hex(bytes_of(description + sha256_hex(numbers)));
}

// state.bin is a safetensors file: "average" (F64), "m", "v", the weights under "weights.", and of a run against a
// critic "critic.parameters", "critic.m", "critic.v".
struct StateWriter {
  std::vector<uint8_t> data;
  std::vector<SafetensorsEntry> entries;
  template <class T>
  void add(const std::string& name, ElementType type, const std::vector<int64_t>& shape, const std::vector<T>& values) {
    const Bytes bytes = bytes_of(values);
    const size_t begin = data.size();
    data.insert(data.end(), bytes.begin(), bytes.end());
    entries.push_back({name, type, shape, begin, data.size()});
  }
};

template <class T>
std::vector<T> numbers_of(Bytes bytes) {
  std::vector<T> values(bytes.size() / sizeof(T));
  if (!values.empty()) std::memcpy(values.data(), bytes.data(), values.size() * sizeof(T));
  return values;
}

// The rows of a critic, by their names in state.bin.
template <class State>  // CriticState, const or not
auto rows_of(State& critic) {
  return std::array{std::pair{"critic.parameters", &critic.parameters}, std::pair{"critic.m", &critic.optimiser.m},
                    std::pair{"critic.v", &critic.optimiser.v}};
}

}  // namespace

std::string place(const Checkpoint& c) {
  if (!c.gan) return fmt::format("step {}", c.state.step);
  return fmt::format("critic step {}, generator step {}", c.gan->critic.optimiser.step, c.state.step);
}

std::vector<uint8_t> to_bytes(const Checkpoint& c) {
  StateWriter writer;
  const auto row = [](const auto& values) { return std::vector<int64_t>{static_cast<int64_t>(values.size())}; };
  if (!c.average.empty()) writer.add("average", ElementType::f64, row(c.average), c.average);
  writer.add("m", ElementType::f32, row(c.state.m), c.state.m);
  writer.add("v", ElementType::f32, row(c.state.v), c.state.v);
  for (const auto& [name, tensor] : c.weights.tensors)
    writer.add("weights." + name, ElementType::f32, tensor.shape, tensor.data);
  if (c.gan)
    for (const auto& [name, values] : rows_of(c.gan->critic)) writer.add(name, ElementType::f32, row(*values), *values);
  nlohmann::json description = {{"step", c.state.step},
                                {"best_step", c.best_step},
                                {"validated_step", c.validated_step},
                                {"options", c.options},
                                {"model", to_json(c.weights.model)},
                                {"normalization", to_json(c.weights.normalization)},
                                {"provenance", c.weights.provenance}};
  if (c.best_mse) description["best_mse"] = *c.best_mse;  // the shortest text that reads back as the same double
  if (c.gan) description["gan"] = to_json(*c.gan);
  const std::string text = description.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  const std::string header = safetensors_header(
      {{"srtrain.format", kFormatVersion}, {"srtrain.state", text}, {"srtrain.sha256", checksum(text, writer.data)}},
      writer.entries);
  std::vector<uint8_t> bytes(header.begin(), header.end());
  bytes.insert(bytes.end(), writer.data.begin(), writer.data.end());
  return bytes;
}

Checkpoint checkpoint_from(Bytes bytes, const std::string& where) {
  const Safetensors file = parse_safetensors(bytes, where);
  const auto field = [&](const char* key) {
    const auto found = file.metadata.find(key);
    if (found == file.metadata.end())
      throw WeightsError(fmt::format("{}: is not the state of a training run: it lacks {}", where, key));
    return found->second;
  };
  if (const std::string version = field("srtrain.format"); version != kFormatVersion)
    throw WeightsError(
        fmt::format("{}: is of format {}; this program reads format {}", where, shown(version), kFormatVersion));
  const std::string text = field("srtrain.state");
  if (checksum(text, file.data) != field("srtrain.sha256"))
    throw WeightsError(
        fmt::format("{}: its checksum does not fit; the file is damaged, a new run can start with last.bin", where));

  Checkpoint c;
  try {
    const nlohmann::json description = parse_json_object(text, where);
    c.state.step = description.at("step");
    if (c.state.step < 0) throw WeightsError(fmt::format("{}: says that {} steps are done", where, c.state.step));
    c.best_step = description.at("best_step");
    c.validated_step = description.at("validated_step");
    c.options = description.at("options");
    c.weights.model = model_from_json(description.at("model"), where);
    c.weights.normalization = normalization_from_json(description.at("normalization"), where);
    c.weights.provenance = description.at("provenance");
    if (description.contains("best_mse")) c.best_mse = description.at("best_mse").get<double>();
    if (description.contains("gan")) c.gan = gan_state_from_json(description.at("gan"), where);
  } catch (const nlohmann::json::exception& e) {
    throw WeightsError(fmt::format("{}: its description makes no sense ({})", where, e.what()));
  }
  std::map<std::string, std::vector<float>*> rows{{"m", &c.state.m}, {"v", &c.state.v}};
  if (c.gan)
    for (const auto& [name, values] : rows_of(c.gan->critic)) rows[name] = values;
  for (const SafetensorsEntry& entry : file.tensors) {
    const Bytes numbers = file.bytes_of(entry);
    if (entry.name == "average" && entry.type == ElementType::f64) {
      c.average = numbers_of<double>(numbers);
      continue;
    }
    if (entry.type != ElementType::f32)
      throw WeightsError(fmt::format("{}: {} has another type of numbers than it should", where, shown(entry.name)));
    if (const auto found = rows.find(entry.name); found != rows.end())
      *found->second = numbers_of<float>(numbers);
    else if (entry.name.starts_with("weights."))
      c.weights.tensors[entry.name.substr(8)] = {entry.shape, numbers_of<float>(numbers)};
    else
      throw WeightsError(fmt::format("{}: holds {}, which no state has", where, shown(entry.name)));
  }
  check_against_schema(c.weights, where);
  const auto n = static_cast<size_t>(parameter_count(parameter_ranges(c.weights)));
  if (c.state.m.size() != n || c.state.v.size() != n || (!c.average.empty() && c.average.size() != n))
    throw WeightsError(fmt::format("{}: does not hold {} moments for as many weights", where, n));
  if (c.gan) check_rows(c.gan->critic, where);
  return c;
}

Checkpoint first_checkpoint(Weights weights, bool with_average, nlohmann::json options) {
  Checkpoint c;
  add_running_statistics(weights);
  const std::vector<float> row = gather_parameters(weights, parameter_ranges(weights));
  c.state.m.assign(row.size(), 0.0f);
  c.state.v.assign(row.size(), 0.0f);
  if (with_average) c.average.assign(row.begin(), row.end());
  c.weights = std::move(weights);
  c.options = std::move(options);
  return c;
}

Weights trained_weights(const Checkpoint& c) {
  Weights weights = c.weights;
  if (!c.average.empty()) {
    std::vector<float> row(c.average.size());
    for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>(c.average[i]);
    scatter_parameters(row, parameter_ranges(weights), weights);
  }
  weights.provenance["steps"] = c.state.step;
  if (c.gan)
    weights.provenance["gan"] = {{"critic_steps", c.gan->critic.optimiser.step}, {"generator_steps", c.state.step}};
  return weights;
}

std::vector<std::string> differences(const nlohmann::json& there, const nlohmann::json& here) {
  std::vector<std::string> list;
  const auto text = [](const nlohmann::json& options, const std::string& key) {
    if (!options.contains(key)) return std::string("not given");
    const nlohmann::json& value = options.at(key);
    return value.is_string() ? value.get<std::string>() : value.dump();
  };
  nlohmann::json all = there;
  all.update(here);
  for (const auto& [key, unused] : all.items())
    if (!there.contains(key) || !here.contains(key) || there.at(key) != here.at(key))
      list.push_back(fmt::format("{} {} there, {} here", key, text(there, key), text(here, key)));
  return list;
}

RunFolder::RunFolder(const fs::path& folder, Open how) : folder_(folder) {
  std::error_code error;
  if (how == Open::resume && !fs::exists(state(), error))
    throw Error(Status::bad_usage, fmt::format("--resume: {} holds no state.bin of a run; leave out --resume to start "
                                               "one in an empty folder",
                                               folder_.string()));
  if (how == Open::fresh) {
    if (fs::exists(state(), error))
      throw Error(Status::bad_usage, fmt::format("--out {}: holds a run already; --resume goes on with it, another "
                                                 "folder starts a new one",
                                                 folder_.string()));
    fs::create_directories(folder_, error);
    if (!fs::is_directory(folder_, error))
      throw Error(Status::bad_output, fmt::format("{}: the folder of the run cannot be made", folder_.string()));
    if (!fs::is_empty(folder_, error) || error)
      throw Error(Status::bad_usage,
                  fmt::format("--out {}: is not an empty folder; give the run one of its own", folder_.string()));
  }
  lock_ = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  // A file system without locks does without.
  if (lock_ >= 0 && ::flock(lock_, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    ::close(lock_);
    throw Error(Status::bad_usage, fmt::format("--out {}: another srtrain is at work in it", folder_.string()));
  }
  // Half-written files of a process that was killed.
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error))
    if (entry.path().filename().string().starts_with(".srengine-")) fs::remove(entry.path(), error);
}

RunFolder::~RunFolder() {
  if (lock_ >= 0) ::close(lock_);
}

void RunFolder::save(const Checkpoint& checkpoint) {
  try {
    // In this order: last.bin is never older than what a resumed run starts from.
    Weights weights = trained_weights(checkpoint);
    save_weights(last(), weights);
    write_file_whole(state(), to_bytes(checkpoint));
    saved_place_ = place(checkpoint);
  } catch (const NotWritten& e) {
    throw Error(Status::bad_output,
                fmt::format("{}; {}", e.what(),
                            saved_place_
                                ? fmt::format("the checkpoint of {} is intact: make room, then --resume", *saved_place_)
                                : "the run needs a folder that can be written"));
  }
}

void RunFolder::save_best(const Checkpoint& checkpoint) {
  try {
    Weights weights = trained_weights(checkpoint);
    save_weights(best(), weights);
  } catch (const NotWritten& e) {
    throw Error(Status::bad_output,
                fmt::format("{}; the checkpoint before is intact: make room, then --resume", e.what()));
  }
}

void RunFolder::save_picture(const std::string& svg) {
  try {
    write_file_whole(folder_ / "curves.svg", Bytes(reinterpret_cast<const uint8_t*>(svg.data()), svg.size()));
  } catch (const NotWritten& e) {
    throw Error(Status::bad_output, e.what());
  }
}

Checkpoint RunFolder::load() const {
  return checkpoint_from(read_file(state()), state().string());
}

void RunFolder::refuse_other_options(const nlohmann::json& there, const nlohmann::json& here) const {
  if (const auto list = differences(there, here); !list.empty())
    throw Error(Status::bad_usage,
                fmt::format("--resume: {} was begun otherwise: {}; give the same options, or start another run with "
                            "{} {}",
                            folder_.string(), fmt::join(list, "; "),
                            here.contains("--generator") ? "--generator" : "--init", last().string()));
}

}  // namespace sr::train
