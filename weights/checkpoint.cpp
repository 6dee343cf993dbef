#include "weights/checkpoint.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "weights/safetensors.h"
#include "weights/weights_error.h"
#include "weights/zip_file.h"

namespace sr {
namespace {

Checkpoint read_safetensors(Bytes bytes, const std::string& where) {
  const Safetensors file = parse_safetensors(bytes, where);
  Checkpoint out;
  out.format = "safetensors";
  out.metadata = file.metadata;
  TensorGroup group;
  for (const SafetensorsEntry& entry : file.tensors)
    group.tensors.push_back(
        {entry.name, entry.shape, to_float32(file.bytes_of(entry), entry.type), is_floating(entry.type)});
  out.groups.push_back(std::move(group));
  return out;
}

Checkpoint read_zip(Bytes bytes, const std::string& where) {
  const ZipFile zip(bytes, where);
  const auto any = [&](const char* ending) {
    return std::any_of(zip.names().begin(), zip.names().end(),
                       [&](const auto& name) { return name.ends_with(ending); });
  };
  if (any("/data.pkl")) return read_torch_zip(zip, bytes.size(), where);
  if (any(".npy")) return read_npz(zip, where);
  throw WeightsError(fmt::format("{}: the zip archive is neither a PyTorch checkpoint nor a NumPy .npz", where));
}

bool starts_with(Bytes bytes, std::string_view text) {
  return bytes.size() >= text.size() && std::memcmp(bytes.data(), text.data(), text.size()) == 0;
}

constexpr std::string_view kHdf5 = "\x89HDF", kNumpy = "\x93NUMPY";

bool looks_like_pickle(Bytes bytes) {
  return bytes.size() >= 2 && bytes[0] == 0x80 && bytes[1] >= 2 && bytes[1] <= 5;  // the protocol
}

}  // namespace

bool looks_foreign(Bytes start) {
  return looks_like_zip(start) || looks_like_pickle(start) || starts_with(start, kHdf5) || starts_with(start, kNumpy);
}

Checkpoint read_checkpoint(const std::filesystem::path& path) {
  const std::string where = path.string();
  const std::vector<uint8_t> bytes = read_file(path);
  Checkpoint out;
  if (looks_like_zip(bytes)) {
    out = read_zip(bytes, where);
  } else if (starts_with(bytes, "\x80")) {
    out = read_torch_stream(bytes, where);
  } else if (looks_like_safetensors(bytes)) {
    out = read_safetensors(bytes, where);
  } else if (starts_with(bytes, kHdf5)) {
    throw WeightsError(fmt::format("{}: HDF5 (Keras) is not read; save the weights with numpy.savez instead", where));
  } else if (starts_with(bytes, kNumpy)) {
    throw WeightsError(fmt::format("{}: holds a single array; save all of them with numpy.savez", where));
  } else {
    throw WeightsError(
        fmt::format("{}: is no checkpoint that can be read (safetensors, PyTorch .pt/.pth, NumPy .npz)", where));
  }
  out.sha256 = sha256_hex(bytes);
  return out;
}

}  // namespace sr
