#include "weights/pickle.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <unordered_map>

#include "weights/pickle_instructions.h"
#include "weights/weights_error.h"

namespace sr {
namespace {

// Ample: a network of 64 x 64 units has 25,000 tensors of some 20 objects each. Bounds stack, memo and nodes.
constexpr size_t kMaxObjects = 1'000'000;

std::string name_of(uint8_t op) {
  for (const auto& [byte, name] : pickle::kRefusedNames)
    if (byte == op) return name;
  return fmt::format("0x{:02x}", op);
}

}  // namespace

size_t PickleTree::n_items() const {
  size_t n = 0;
  for (const Node& node : nodes_) n += node.items.size();
  return n;
}

class PickleMachine {
 public:
  PickleMachine(Bytes stream, size_t position, std::span<const std::string_view> allowed, const std::string& where)
      : stream_(stream), at_(position), allowed_(allowed), where_(where) {}

  PickleTree run(size_t& position) {
    while (step(static_cast<pickle::Op>(take(1)[0]))) {
    }
    position = at_;
    return std::move(tree_);
  }

 private:
  using Kind = PickleTree::Kind;
  using Value = PickleTree::Value;

  [[noreturn]] void refuse(const std::string& why) const {
    throw WeightsError(fmt::format("{}: the pickle {} (byte {})", where_, why, at_));
  }

  // --- the stream

  Bytes take(uint64_t n) {
    if (n > stream_.size() - at_) refuse("ends too early");
    const Bytes bytes = stream_.subspan(at_, n);
    at_ += n;
    return bytes;
  }
  uint64_t take_unsigned(size_t n_bytes) {
    uint64_t value = 0;
    const Bytes bytes = take(n_bytes);
    for (size_t i = 0; i < n_bytes; ++i) value |= uint64_t{bytes[i]} << (8 * i);
    return value;
  }
  std::string_view take_text(uint64_t n) {
    const Bytes bytes = take(n);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::string_view take_line() {
    const Bytes rest = stream_.subspan(at_);
    const auto newline = std::find(rest.begin(), rest.end(), '\n');
    if (newline == rest.end()) refuse("ends too early");
    const std::string_view line = take_text(static_cast<uint64_t>(newline - rest.begin()));
    take(1);
    return line;
  }

  // --- the stack

  void push(Value v) {
    if (stack_.size() >= kMaxObjects) refuse("is too deep");
    stack_.push_back(v);
  }
  void push(Kind kind, int64_t integer = 0) {
    Value v;
    v.kind = kind;
    v.integer = integer;
    push(v);
  }
  void push_node(Kind kind, std::string_view text, std::vector<Value> items = {}) {
    if (tree_.nodes_.size() >= kMaxObjects) refuse("holds too many objects");
    Value v;
    v.kind = kind;
    v.node = static_cast<uint32_t>(tree_.nodes_.size());
    tree_.nodes_.push_back({std::string(text), std::move(items)});
    push(v);
  }
  Value top() const {
    if (stack_.empty() || stack_.back().kind == Kind::mark) refuse("takes from an empty stack");
    return stack_.back();
  }
  Value pop() {
    const Value v = top();
    stack_.pop_back();
    return v;
  }
  std::vector<Value> pop_n(size_t n) {
    std::vector<Value> items(n);
    while (n > 0) items[--n] = pop();
    return items;
  }
  std::vector<Value> pop_to_mark() {
    const auto mark = std::find_if(stack_.rbegin(), stack_.rend(), [](Value v) { return v.kind == Kind::mark; });
    if (mark == stack_.rend()) refuse("closes a list that it never opened");
    std::vector<Value> items(mark.base(), stack_.end());
    stack_.erase(mark.base() - 1, stack_.end());
    return items;
  }

  // --- instructions with more to them

  void remember(uint64_t index) {
    if (memo_.size() >= kMaxObjects) refuse("remembers too many objects");
    memo_[index] = top();
  }
  void recall(uint64_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) refuse(fmt::format("recalls object {} before it remembers it", index));
    push(found->second);
  }
  void push_global(std::string_view module, std::string_view name) {
    const std::string full = fmt::format("{}.{}", module, name);
    if (std::find(allowed_.begin(), allowed_.end(), full) == allowed_.end())
      refuse(fmt::format("asks for {}, which is not on the list of things a checkpoint needs; refused, nothing was run",
                         shown(full)));
    push_node(Kind::global, full);
  }
  void push_integer_of(Bytes little_endian) {
    if (little_endian.size() > 8) {
      push_node(Kind::big_integer, {reinterpret_cast<const char*>(little_endian.data()), little_endian.size()});
      return;
    }
    uint64_t value = !little_endian.empty() && little_endian.back() & 0x80 ? ~uint64_t{0} : 0;
    for (size_t i = little_endian.size(); i > 0; --i) value = value << 8 | little_endian[i - 1];
    push(Kind::integer, static_cast<int64_t>(value));
  }
  void push_real(uint64_t big_endian_bits) {
    uint64_t bits = 0;
    for (int i = 0; i < 8; ++i) bits |= (big_endian_bits >> (8 * i) & 0xff) << (8 * (7 - i));
    Value v;
    v.kind = Kind::real;
    v.real = std::bit_cast<double>(bits);
    push(v);
  }
  void append(const std::vector<Value>& items) {
    const Value list = top();
    if (list.kind != Kind::list) refuse("appends to what is not a list");
    auto& to = tree_.nodes_[list.node].items;
    to.insert(to.end(), items.begin(), items.end());
  }
  void set_items(const std::vector<Value>& items) {
    const Value dict = top();
    if (!is_dict(dict)) refuse("sets entries of what is not a dictionary");
    if (items.size() % 2) refuse("sets a key without a value");
    auto& to = tree_.nodes_[dict.node].items;
    to.insert(to.end(), items.begin(), items.end());
  }
  bool is_dict(Value v) const { return v.kind == Kind::dict || tree_.is_call(v, "collections.OrderedDict"); }
  void call() {
    std::vector<Value> items = pop_n(2);
    if (items[0].kind != Kind::global || items[1].kind != Kind::tuple) refuse("calls what is not a function");
    push_node(Kind::call, "", std::move(items));
  }
  // The attributes of an object. PyTorch hangs the versions of its modules on the dictionary; a network needs none.
  void build() {
    pop();
    if (!is_dict(top())) refuse("asks for BUILD on something other than a dictionary; refused, nothing was run");
  }

  // One instruction; false after the last.
  bool step(pickle::Op op) {
    using namespace pickle;
    switch (op) {
      case PROTO:
        if (const uint64_t version = take_unsigned(1); version < 2 || version > 5)
          refuse(fmt::format("has protocol {}; 2 to 5 are read", version));
        return true;
      case FRAME:
        take(8);
        return true;
      case STOP:
        tree_.root_ = pop();
        if (!stack_.empty()) refuse("leaves objects behind");
        return false;

      case NONE:
        push(Kind::none);
        return true;
      case NEWTRUE:
        push(Kind::boolean, 1);
        return true;
      case NEWFALSE:
        push(Kind::boolean, 0);
        return true;
      case BININT:
        push(Kind::integer, static_cast<int32_t>(take_unsigned(4)));
        return true;
      case BININT1:
        push(Kind::integer, static_cast<int64_t>(take_unsigned(1)));
        return true;
      case BININT2:
        push(Kind::integer, static_cast<int64_t>(take_unsigned(2)));
        return true;
      case LONG1:
        push_integer_of(take(take_unsigned(1)));
        return true;
      case BINFLOAT:
        push_real(take_unsigned(8));
        return true;

      case SHORT_BINSTRING:
      case SHORT_BINUNICODE:
        push_node(Kind::text, take_text(take_unsigned(1)));
        return true;
      case BINSTRING:
      case BINUNICODE:
        push_node(Kind::text, take_text(take_unsigned(4)));
        return true;
      case BINUNICODE8:
        push_node(Kind::text, take_text(take_unsigned(8)));
        return true;

      case EMPTY_TUPLE:
        push_node(Kind::tuple, "");
        return true;
      case TUPLE1:
        push_node(Kind::tuple, "", pop_n(1));
        return true;
      case TUPLE2:
        push_node(Kind::tuple, "", pop_n(2));
        return true;
      case TUPLE3:
        push_node(Kind::tuple, "", pop_n(3));
        return true;
      case TUPLE:
        push_node(Kind::tuple, "", pop_to_mark());
        return true;
      case EMPTY_LIST:
        push_node(Kind::list, "");
        return true;
      case APPEND:
        append(pop_n(1));
        return true;
      case APPENDS:
        append(pop_to_mark());
        return true;
      case EMPTY_DICT:
        push_node(Kind::dict, "");
        return true;
      case SETITEM:
        set_items(pop_n(2));
        return true;
      case SETITEMS:
        set_items(pop_to_mark());
        return true;

      case MARK:
        push(Kind::mark);
        return true;
      case POP:
        pop();
        return true;
      case BINPUT:
        remember(take_unsigned(1));
        return true;
      case LONG_BINPUT:
        remember(take_unsigned(4));
        return true;
      case MEMOIZE:
        remember(memo_.size());
        return true;
      case BINGET:
        recall(take_unsigned(1));
        return true;
      case LONG_BINGET:
        recall(take_unsigned(4));
        return true;

      case GLOBAL: {
        const std::string_view module = take_line();
        push_global(module, take_line());
        return true;
      }
      case STACK_GLOBAL: {
        const std::vector<Value> names = pop_n(2);
        if (!tree_.is_text(names[0]) || !tree_.is_text(names[1])) refuse("names a function by what is not text");
        push_global(tree_.text(names[0]), tree_.text(names[1]));
        return true;
      }
      case REDUCE:
        call();
        return true;
      case BUILD:
        build();
        return true;
      case BINPERSID:
        tree_.persistent_ids_.push_back(top());
        push_node(Kind::persistent, "", pop_n(1));
        return true;
    }
    refuse(fmt::format("has the instruction {}, which no checkpoint needs; refused, nothing was run", name_of(op)));
  }

  Bytes stream_;
  size_t at_;
  std::span<const std::string_view> allowed_;
  const std::string& where_;
  PickleTree tree_;
  std::vector<Value> stack_;
  std::unordered_map<uint64_t, Value> memo_;
};

PickleTree read_pickle(Bytes stream, size_t& position, std::span<const std::string_view> allowed_globals,
                       const std::string& where) {
  return PickleMachine(stream, position, allowed_globals, where).run(position);
}

}  // namespace sr
