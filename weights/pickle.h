// Reads Python pickles without Python: a stream of stack-machine instructions becomes a tree of inert values.
//
// Nothing is ever imported, called or built. A call stays a node {function's name, arguments}; who reads the tree
// decides what it stands for. Only the instructions and the names that a checkpoint needs are accepted; any other is
// refused by its name. Protocols 2 to 5 (Python's pickletools.py describes the instructions).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "weights/file_io.h"

namespace sr {

class PickleTree {
 public:
  // What the items of a node are:
  //   tuple, list   the elements                      dict         key, value, key, value, ...
  //   call          function, arguments (a tuple), then key, value, ... of entries set on the result
  //   persistent    the id of an object kept outside the pickle
  // text, global ("module.name") and big_integer (little-endian two's complement, more than 8 bytes) have a text
  // instead.
  enum class Kind : uint8_t {
    mark,
    none,
    boolean,
    integer,
    real,
    text,
    global,
    big_integer,
    tuple,
    list,
    dict,
    call,
    persistent
  };

  struct Value {
    Kind kind = Kind::none;
    union {
      int64_t integer = 0;  // boolean too
      double real;
      uint32_t node;  // text and everything after it
    };
  };

  Value root() const { return root_; }
  std::string_view text(Value v) const { return nodes_[v.node].text; }
  std::span<const Value> items(Value v) const { return nodes_[v.node].items; }
  std::span<const Value> persistent_ids() const { return persistent_ids_; }  // all of them, as they came
  // Items of all nodes. A node may be an item of many, so whoever follows items must count what it follows.
  size_t n_items() const;

  bool is_text(Value v) const { return v.kind == Kind::text; }
  bool is_global(Value v, std::string_view name) const { return v.kind == Kind::global && text(v) == name; }
  bool is_call(Value v, std::string_view function) const {
    return v.kind == Kind::call && is_global(items(v)[0], function);
  }

 private:
  friend class PickleMachine;
  struct Node {
    std::string text;
    std::vector<Value> items;
  };
  std::vector<Node> nodes_;
  std::vector<Value> persistent_ids_;
  Value root_;
};

// Reads one pickle from stream[position] on and moves position behind it. Memory is bounded by a small multiple of the
// stream: an instruction of one byte makes at most one object of some 60 bytes, and text is kept once however often the
// memo recalls it. Throws WeightsError, starting with `where`.
PickleTree read_pickle(Bytes stream, size_t& position, std::span<const std::string_view> allowed_globals,
                       const std::string& where);

}  // namespace sr
