// The two containers of torch.save.
//
//   zip (PyTorch >= 1.6)      NAME/data.pkl, NAME/data/KEY for each storage, NAME/byteorder from 2.1 on
//   pickle stream (<= 1.5)    four pickles: a magic number, the version 1001, {"little_endian": ...} and the object; a
//   fifth
//                             with the list of storage keys; then for each key a 64-bit count and the numbers
#include <fmt/format.h>

#include <cstring>
#include <map>

#include "weights/torch_objects.h"
#include "weights/weights_error.h"
#include "weights/zip_file.h"

namespace sr {
namespace {

using Kind = PickleTree::Kind;
using Value = PickleTree::Value;

// 0x1950a86a20f9469cfc6c, as a pickle holds it.
constexpr std::string_view kStreamMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

}  // namespace

Checkpoint read_torch_zip(const ZipFile& zip, size_t file_size, const std::string& where) {
  std::string folder;
  for (const std::string& name : zip.names()) {
    if (!name.ends_with("/data.pkl")) continue;
    if (!folder.empty()) throw WeightsError(fmt::format("{}: the zip archive has more than one data.pkl", where));
    folder = name.substr(0, name.size() - std::strlen("data.pkl"));
  }
  if (zip.contains(folder + "constants.pkl"))
    throw WeightsError(fmt::format("{}: is a TorchScript program, not a checkpoint; save net.state_dict()", where));
  bool big_endian = false;
  if (zip.contains(folder + "byteorder")) {
    const std::vector<uint8_t> text = zip.read(folder + "byteorder");
    big_endian = std::string_view(reinterpret_cast<const char*>(text.data()), text.size()) == "big";
  }

  const std::vector<uint8_t> pickle = zip.read(folder + "data.pkl");
  size_t position = 0;
  const PickleTree tree = read_pickle(pickle, position, torch_globals(), where);
  std::map<std::string, std::vector<uint8_t>> storages;
  const StorageBytes storage_bytes = [&](const std::string& key) -> Bytes {
    const auto [found, fresh] = storages.try_emplace(key);
    if (fresh) found->second = zip.read(folder + "data/" + key);
    return found->second;
  };
  Checkpoint out;
  out.format = "PyTorch zip";
  out.keeps_order = true;
  out.groups = collect_tensors(tree, storage_bytes, big_endian, file_size, where);
  return out;
}

Checkpoint read_torch_stream(Bytes file, const std::string& where) {
  size_t position = 0;
  const auto next = [&] { return read_pickle(file, position, torch_globals(), where); };
  const PickleTree magic = next();
  if (magic.root().kind != Kind::big_integer || magic.text(magic.root()) != kStreamMagic)
    throw WeightsError(
        fmt::format("{}: is a pickle, but not one that torch.save wrote; save net.state_dict() with it", where));
  const PickleTree version = next();
  if (version.root().kind != Kind::integer || version.root().integer != 1001)
    throw WeightsError(fmt::format("{}: is a PyTorch stream of an unknown version; 1001 is read", where));
  const PickleTree system = next();
  bool little_endian = false;
  if (system.root().kind == Kind::dict) {
    const auto items = system.items(system.root());
    for (size_t i = 0; i + 1 < items.size(); i += 2)
      if (system.is_text(items[i]) && system.text(items[i]) == "little_endian")
        little_endian = items[i + 1].kind == Kind::boolean && items[i + 1].integer != 0;
  }
  if (!little_endian) throw WeightsError(fmt::format("{}: was not written on a little-endian machine", where));

  const PickleTree tree = next();
  const PickleTree keys = next();
  if (keys.root().kind != Kind::list) throw WeightsError(fmt::format("{}: lacks the list of its storages", where));
  // The stream says how many numbers a storage has, the object of which type they are.
  const std::map<std::string, ElementType> types = storage_types(tree, where);
  std::map<std::string, Bytes> storages;
  for (const Value key : keys.items(keys.root())) {
    const std::string name(keys.is_text(key) ? keys.text(key) : "");
    const auto type = types.find(name);
    if (type == types.end())
      throw WeightsError(fmt::format("{}: lists storage {}, which nothing uses", where, shown(name)));
    const size_t size = element_size(type->second);
    uint64_t count = 0;
    const Bytes rest = file.subspan(position);
    if (rest.size() >= sizeof count) std::memcpy(&count, rest.data(), sizeof count);
    if (rest.size() < sizeof count || count > (rest.size() - sizeof count) / size)
      throw WeightsError(fmt::format("{}: ends within storage {}", where, shown(name)));
    storages[name] = rest.subspan(sizeof count, count * size);
    position += sizeof count + count * size;
  }
  if (position != file.size())
    throw WeightsError(
        fmt::format("{}: {} bytes behind the last storage belong to none", where, file.size() - position));

  Checkpoint out;
  out.format = "PyTorch pickle stream";
  out.keeps_order = true;
  const StorageBytes storage_bytes = [&](const std::string& key) -> Bytes {
    const auto found = storages.find(key);
    if (found == storages.end()) throw WeightsError(fmt::format("{}: storage {} is missing", where, shown(key)));
    return found->second;
  };
  out.groups = collect_tensors(tree, storage_bytes, false, file.size(), where);
  return out;
}

}  // namespace sr
