#include "weights/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

#include "weights/bounded_json.h"
#include "weights/weights_error.h"

namespace sr {
namespace {

using nlohmann::json;

// A network of 64 blocks of 64 units has some 50,000 tensors and 7 MB of header. What bounds the memory of its parsed
// form is the number of values (weights/bounded_json.h); this bounds names and texts.
constexpr uint64_t kMaxHeaderBytes = 16 << 20;

constexpr std::pair<const char*, ElementType> kTypeNames[] = {
    {"F64", ElementType::f64}, {"F32", ElementType::f32},     {"F16", ElementType::f16}, {"BF16", ElementType::bf16},
    {"I64", ElementType::i64}, {"I32", ElementType::i32},     {"I16", ElementType::i16}, {"I8", ElementType::i8},
    {"U8", ElementType::u8},   {"BOOL", ElementType::boolean}};

uint64_t header_length(Bytes file) {
  uint64_t n;
  std::memcpy(&n, file.data(), sizeof n);
  return n;
}

ElementType type_of(const json& text, const std::string& where) {
  if (text.is_string())
    for (const auto& [name, type] : kTypeNames)
      if (text.get_ref<const std::string&>() == name) return type;
  throw WeightsError(fmt::format("{}: dtype {} is not one of F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL", where,
                                 shown(text.dump())));
}

// A list of integers 0 .. 2^63-1, at most `max_count` of them.
std::vector<int64_t> integers(const json& list, size_t max_count, const std::string& where, const char* what) {
  const auto refuse = [&] {
    throw WeightsError(fmt::format("{}: {} is not a list of at most {} whole numbers", where, what, max_count));
  };
  if (!list.is_array() || list.size() > max_count) refuse();
  std::vector<int64_t> out;
  for (const json& item : list) {
    if (!item.is_number_unsigned() || item.get<uint64_t>() > INT64_MAX) refuse();
    out.push_back(static_cast<int64_t>(item.get<uint64_t>()));
  }
  return out;
}

// Bytes of a tensor of this shape, or `most` + 1 where it would have more than `most`.
uint64_t bytes_of_shape(const std::vector<int64_t>& shape, ElementType type, uint64_t most) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  uint64_t bytes = element_size(type);
  for (const int64_t extent : shape) {
    if (bytes > most / static_cast<uint64_t>(extent)) return most + 1;
    bytes *= static_cast<uint64_t>(extent);
  }
  return bytes;
}

SafetensorsEntry parse_entry(const std::string& name, const json& fields, size_t data_size, const std::string& file) {
  const std::string where = fmt::format("{}: tensor {}", file, shown(name));
  if (!fields.is_object() || fields.size() != 3 || !fields.contains("dtype") || !fields.contains("shape") ||
      !fields.contains("data_offsets"))
    throw WeightsError(fmt::format("{}: its entry must have dtype, shape and data_offsets, and nothing else", where));
  const ElementType type = type_of(fields["dtype"], where);
  std::vector<int64_t> shape = integers(fields["shape"], 8, where, "shape");
  const std::vector<int64_t> offsets = integers(fields["data_offsets"], 2, where, "data_offsets");
  if (offsets.size() != 2) throw WeightsError(fmt::format("{}: data_offsets must be two numbers", where));
  const auto begin = static_cast<uint64_t>(offsets[0]), end = static_cast<uint64_t>(offsets[1]);
  if (begin > end || end > data_size)
    throw WeightsError(fmt::format("{}: its bytes {} to {} do not lie inside the file's {} bytes of tensors", where,
                                   begin, end, data_size));
  if (bytes_of_shape(shape, type, data_size) != end - begin)
    throw WeightsError(
        fmt::format("{}: {} bytes do not hold a tensor of shape ({})", where, end - begin, fmt::join(shape, ", ")));
  return {name, type, std::move(shape), begin, end};
}

std::map<std::string, std::string> parse_metadata(const json& fields, const std::string& where) {
  if (!fields.is_object()) throw WeightsError(fmt::format("{}: __metadata__ is not a JSON object", where));
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : fields.items()) {
    if (!value.is_string()) throw WeightsError(fmt::format("{}: metadata {} is not text", where, shown(key)));
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

}  // namespace

bool looks_like_safetensors(Bytes file) {
  return file.size() > 8 && file[8] == '{' && header_length(file) <= std::max<uint64_t>(kMaxHeaderBytes, file.size());
}

Safetensors parse_safetensors(Bytes file, const std::string& where) {
  if (file.size() < 8)
    throw WeightsError(fmt::format("{}: {} bytes are too few for a weights file", where, file.size()));
  const uint64_t length = header_length(file);
  if (length > file.size() - 8)
    throw WeightsError(
        fmt::format("{}: its header claims {} bytes, but the file has only {}", where, length, file.size()));
  if (length > kMaxHeaderBytes)
    throw WeightsError(
        fmt::format("{}: its header of {} bytes is longer than the {} that are read", where, length, kMaxHeaderBytes));
  const json header =
      parse_json_object({reinterpret_cast<const char*>(file.data()) + 8, length}, fmt::format("{}: header", where));

  Safetensors out;
  out.data = file.subspan(8 + length);
  for (const auto& [name, fields] : header.items()) {
    if (name == "__metadata__") {
      out.metadata = parse_metadata(fields, where);
    } else {
      out.tensors.push_back(parse_entry(name, fields, out.data.size(), where));
    }
  }
  std::sort(out.tensors.begin(), out.tensors.end(), [](const SafetensorsEntry& a, const SafetensorsEntry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  size_t filled = 0;
  for (const SafetensorsEntry& entry : out.tensors) {
    if (entry.begin != filled)
      throw WeightsError(fmt::format("{}: tensor {} {} at byte {} of the tensors, where byte {} is next", where,
                                     shown(entry.name), entry.begin < filled ? "overlaps another" : "leaves a gap",
                                     entry.begin, filled));
    filled = entry.end;
  }
  if (filled != out.data.size())
    throw WeightsError(
        fmt::format("{}: {} bytes behind the last tensor belong to none", where, out.data.size() - filled));
  return out;
}

std::string safetensors_header(const std::map<std::string, std::string>& metadata,
                               const std::vector<SafetensorsEntry>& tensors) {
  std::string header = "{\"__metadata__\":" + json(metadata).dump();
  for (const SafetensorsEntry& entry : tensors) {
    const auto* name = std::find_if(std::begin(kTypeNames), std::end(kTypeNames),
                                    [&](const auto& candidate) { return candidate.second == entry.type; });
    header += fmt::format(",{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}", json(entry.name).dump(),
                          name->first, fmt::join(entry.shape, ","), entry.begin, entry.end);
  }
  header += '}';
  header.resize((header.size() + 7) / 8 * 8, ' ');
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header;
}

}  // namespace sr
