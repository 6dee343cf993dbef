#include "weights/torch_objects.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "weights/weights_error.h"

namespace sr {
namespace {

using Kind = PickleTree::Kind;
using Value = PickleTree::Value;

constexpr std::string_view kOrderedDict = "collections.OrderedDict";
constexpr std::string_view kRebuildTensor = "torch._utils._rebuild_tensor";
constexpr std::string_view kRebuildTensorV2 = "torch._utils._rebuild_tensor_v2";
constexpr std::string_view kRebuildParameter = "torch._utils._rebuild_parameter";

constexpr std::pair<std::string_view, ElementType> kStorageTypeNames[] = {
    {"torch.DoubleStorage", ElementType::f64}, {"torch.FloatStorage", ElementType::f32},
    {"torch.HalfStorage", ElementType::f16},   {"torch.BFloat16Storage", ElementType::bf16},
    {"torch.LongStorage", ElementType::i64},   {"torch.IntStorage", ElementType::i32},
    {"torch.ShortStorage", ElementType::i16},  {"torch.CharStorage", ElementType::i8},
    {"torch.ByteStorage", ElementType::u8},    {"torch.BoolStorage", ElementType::boolean}};

// Storages are numbered, and tensors named after their layers; a memoised text is recalled in two bytes, so the longest
// that is ever copied has a bound.
constexpr size_t kMaxKeyLength = 256, kMaxNameLength = 1024;
// Letters of names and paths per byte of the file. A name stands in the file once, but may be read under several paths.
constexpr size_t kLettersPerByte = 16;

struct Storage {
  std::string key;
  ElementType type;
  int64_t first, numel;  // the run of elements within the storage of that name
};

// ('storage', type, key, location, numel[, None or (view key, first element, numel)])
Storage parse_storage(const PickleTree& tree, Value id, const std::string& where) {
  const auto fields = id.kind == Kind::tuple ? tree.items(id) : std::span<const Value>();
  if (fields.size() >= 5 && tree.is_text(fields[0]) && tree.text(fields[0]) == "storage" &&
      fields[1].kind == Kind::global && tree.is_text(fields[2]) && tree.text(fields[2]).size() <= kMaxKeyLength &&
      fields[4].kind == Kind::integer)
    for (const auto& [name, type] : kStorageTypeNames) {
      if (tree.text(fields[1]) != name) continue;
      Storage storage{std::string(tree.text(fields[2])), type, 0, fields[4].integer};
      if (fields.size() == 5 || fields[5].kind != Kind::tuple) return storage;
      const auto view = tree.items(fields[5]);
      if (view.size() != 3 || view[1].kind != Kind::integer || view[2].kind != Kind::integer) break;
      storage.first = view[1].integer;
      storage.numel = view[2].integer;
      return storage;
    }
  throw WeightsError(fmt::format("{}: refers to a storage in a way that is not understood", where));
}

class Collector {
 public:
  Collector(const PickleTree& tree, const StorageBytes& bytes, bool big_endian, size_t file_size,
            const std::string& where)
      : tree_(tree),
        storage_bytes_(bytes),
        big_endian_(big_endian),
        elements_left_(file_size),
        letters_left_(kLettersPerByte * uint64_t{file_size}),
        entries_left_(tree.n_items()),
        where_(where) {}

  std::vector<TensorGroup> run() {
    if (is_dict(tree_.root())) {
      visited_.insert(tree_.root().node);
      visit(tree_.root(), "", 0);
    }
    return std::move(groups_);
  }

 private:
  static constexpr int kMaxDepth = 8;

  [[noreturn]] void refuse(const std::string& why) const { throw WeightsError(fmt::format("{}: {}", where_, why)); }

  bool is_tensor(Value v) const {
    return tree_.is_call(v, kRebuildTensor) || tree_.is_call(v, kRebuildTensorV2) ||
           tree_.is_call(v, kRebuildParameter);
  }
  std::span<const Value> arguments(Value call) const { return tree_.items(tree_.items(call)[1]); }

  struct Entry {
    std::string_view name;  // lies in the tree
    Value value;
  };

  // The entries of a dictionary by text key; others (an optimizer numbers its state) hold no network.
  std::vector<Entry> entries(Value v) {
    std::vector<Entry> out;
    std::span<const Value> items = tree_.items(v);
    if (v.kind == Kind::call) {  // OrderedDict(): its entries follow; Python 2: OrderedDict([[key, value], ...])
      if (arguments(v).size() > 1) refuse("makes a dictionary of more than one list of entries, which Python cannot");
      for (const Value list : arguments(v)) {
        if (list.kind != Kind::list) continue;
        count_entries(tree_.items(list).size());
        for (const Value pair : tree_.items(list))
          if ((pair.kind == Kind::list || pair.kind == Kind::tuple) && tree_.items(pair).size() == 2 &&
              tree_.is_text(tree_.items(pair)[0]))
            out.push_back({tree_.text(tree_.items(pair)[0]), tree_.items(pair)[1]});
      }
      items = items.subspan(2);
    }
    count_entries(items.size() / 2);
    for (size_t i = 0; i + 1 < items.size(); i += 2)
      if (tree_.is_text(items[i])) out.push_back({tree_.text(items[i]), items[i + 1]});
    return out;
  }
  // Dictionaries are read once each, and so pay with items of their own; only a list that many of them share does not.
  void count_entries(size_t n) {
    if (n > entries_left_) refuse("makes many dictionaries of one list of entries, which no checkpoint does");
    entries_left_ -= n;
  }

  // Names are copied out of the tree, where one text may be the name of many things.
  std::string joined(const std::string& path, std::string_view name) {
    const size_t n = path.size() + name.size() + 1;
    if (n > kMaxNameLength)
      refuse(fmt::format("has a name of {} letters, {}; names of up to {} are read", n, shown(name), kMaxNameLength));
    if (n > letters_left_) refuse("repeats its names beyond the size of the file");
    letters_left_ -= n;
    return path.empty() ? std::string(name) : fmt::format("{}.{}", path, name);
  }

  void visit(Value v, const std::string& path, int depth) {
    const auto content = entries(v);
    TensorGroup group{path, {}};
    std::set<std::string_view> names;
    for (const auto& [name, value] : content) {
      if (!is_tensor(value)) continue;
      if (!names.insert(name).second) refuse(fmt::format("has tensor {} twice", shown(name)));
      group.tensors.push_back(tensor(value, joined("", name)));
    }
    if (!group.tensors.empty()) groups_.push_back(std::move(group));
    // The memo can make a dictionary its own grandchild, or one object many; each is visited once.
    if (depth < kMaxDepth)
      for (const auto& [name, value] : content)
        if (is_dict(value) && visited_.insert(value.node).second) visit(value, joined(path, name), depth + 1);
  }
  bool is_dict(Value v) const { return v.kind == Kind::dict || tree_.is_call(v, kOrderedDict); }

  std::vector<int64_t> integers(Value v, const std::string& what) const {
    std::vector<int64_t> out;
    if (tree_.is_call(v, "torch.Size") && arguments(v).size() == 1) v = arguments(v)[0];
    if (v.kind == Kind::tuple && tree_.items(v).size() <= 8)
      for (const Value item : tree_.items(v))
        if (item.kind == Kind::integer && item.integer >= 0) out.push_back(item.integer);
    if (v.kind != Kind::tuple || out.size() != tree_.items(v).size())
      refuse(fmt::format("{} has a shape or stride that is not understood", what));
    return out;
  }

  NamedTensor tensor(Value v, const std::string& name) {
    const std::string what = "tensor " + shown(name);
    for (int depth = 0; tree_.is_call(v, kRebuildParameter); ++depth) {
      if (arguments(v).empty() || depth > 2) refuse(what + " is a parameter of nothing");
      v = arguments(v)[0];
    }
    if (!is_tensor(v)) refuse(what + " is a parameter that is no tensor");
    const auto args = arguments(v);  // storage, first element, shape, strides, ...
    if (args.size() < 4 || args[1].kind != Kind::integer) refuse(what + " is not described as PyTorch does");
    if (args[0].kind != Kind::persistent) refuse(what + " lies in no storage");
    const Storage from = parse_storage(tree_, tree_.items(args[0])[0], where_);
    const std::vector<int64_t> shape = integers(args[2], what);
    std::vector<int64_t> stride = integers(args[3], what);
    if (stride.size() != shape.size()) refuse(what + " has not as many strides as dimensions");
    for (size_t axis = 0; axis < shape.size(); ++axis)
      if (shape[axis] <= 1) stride[axis] = 0;  // no step is ever taken; it may say anything
    return {name, shape, gather(from, args[1].integer, shape, stride, what), is_floating(from.type)};
  }

  // The elements of a view in row-major order.
  std::vector<float> gather(const Storage& from, int64_t offset, const std::vector<int64_t>& shape,
                            const std::vector<int64_t>& stride, const std::string& what) {
    const Bytes all = storage_bytes_(from.key);
    const auto in_file = static_cast<int64_t>(all.size() / element_size(from.type));
    if (from.first < 0 || from.numel < 0 || from.numel > in_file || from.first > in_file - from.numel)
      refuse(
          fmt::format("{} needs {} numbers of storage {}, which has {}", what, from.numel, shown(from.key), in_file));

    uint64_t n = 1;
    for (const int64_t extent : shape) {
      if (extent != 0 && n > elements_left_ / static_cast<uint64_t>(extent))
        refuse(what + " repeats its numbers beyond the size of the file");
      n *= static_cast<uint64_t>(extent);
    }
    if (n == 0) return {};
    elements_left_ -= n;
    // The last element; every term stays below numel, so that nothing overflows.
    int64_t last = offset;
    for (size_t axis = 0; axis < shape.size(); ++axis) {
      if (last < 0 || last >= from.numel) break;
      if (shape[axis] > 1 && stride[axis] > from.numel / (shape[axis] - 1))
        last = from.numel;
      else
        last += (shape[axis] - 1) * stride[axis];
    }
    if (offset < 0 || last >= from.numel)
      refuse(fmt::format("{} reaches beyond the {} numbers of its storage", what, from.numel));

    const size_t size = element_size(from.type);
    std::vector<uint8_t> row_major(n * size);
    std::vector<int64_t> index(shape.size(), 0);
    int64_t position = from.first + offset;
    for (uint64_t i = 0; i < n; ++i) {
      std::copy_n(all.data() + static_cast<size_t>(position) * size, size, row_major.data() + i * size);
      for (size_t axis = shape.size(); axis > 0; --axis) {
        position += stride[axis - 1];
        if (++index[axis - 1] < shape[axis - 1]) break;
        position -= stride[axis - 1] * shape[axis - 1];
        index[axis - 1] = 0;
      }
    }
    return to_float32(row_major, from.type, big_endian_);
  }

  const PickleTree& tree_;
  const StorageBytes& storage_bytes_;
  bool big_endian_;
  uint64_t elements_left_, letters_left_;
  size_t entries_left_;
  const std::string& where_;
  std::set<uint32_t> visited_;
  std::vector<TensorGroup> groups_;
};

}  // namespace

std::span<const std::string_view> torch_globals() {
  static constexpr std::string_view names[] = {
      kOrderedDict,          kRebuildTensor,       kRebuildTensorV2,    kRebuildParameter,       "torch.Size",
      "torch.DoubleStorage", "torch.FloatStorage", "torch.HalfStorage", "torch.BFloat16Storage", "torch.LongStorage",
      "torch.IntStorage",    "torch.ShortStorage", "torch.CharStorage", "torch.ByteStorage",     "torch.BoolStorage"};
  return names;
}

std::map<std::string, ElementType> storage_types(const PickleTree& tree, const std::string& where) {
  std::map<std::string, ElementType> types;
  for (const Value id : tree.persistent_ids()) {
    const Storage storage = parse_storage(tree, id, where);
    if (types.try_emplace(storage.key, storage.type).first->second != storage.type)
      throw WeightsError(fmt::format("{}: storage {} has two types", where, shown(storage.key)));
  }
  return types;
}

std::vector<TensorGroup> collect_tensors(const PickleTree& tree, const StorageBytes& storage_bytes, bool big_endian,
                                         size_t file_size, const std::string& where) {
  std::vector<TensorGroup> groups = Collector(tree, storage_bytes, big_endian, file_size, where).run();
  if (groups.empty())
    throw WeightsError(fmt::format("{}: holds no dictionary of named tensors; save net.state_dict()", where));
  return groups;
}

}  // namespace sr
