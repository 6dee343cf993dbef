#include "weights/bounded_json.h"

#include <fmt/format.h>

#include <set>
#include <vector>

#include "weights/weights_error.h"

namespace sr {
namespace {

using nlohmann::json;

constexpr size_t kMaxDepth = 16, kMaxValues = 1'000'000;

// Looks at the events of a first pass that builds nothing. The library's parse with a callback could refuse as well,
// but looks through all of an object's or a list's siblings whenever it ends: minutes for a header of 400 kB.
class Check final : public nlohmann::json_sax<json> {
 public:
  explicit Check(const std::string& what) : what_(what) {}

  bool null() override { return count(); }
  bool boolean(bool) override { return count(); }
  bool number_integer(number_integer_t) override { return count(); }
  bool number_unsigned(number_unsigned_t) override { return count(); }
  bool number_float(number_float_t, const string_t&) override { return count(); }
  bool string(string_t&) override { return count(); }
  bool binary(binary_t&) override { return count(); }
  bool start_object(size_t) override { return open(); }
  bool start_array(size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (!keys_.back().insert(name).second)
      throw WeightsError(fmt::format("{}: its JSON has the key {} twice", what_, shown(name)));
    return true;
  }
  bool parse_error(size_t, const std::string&, const json::exception& e) override {
    // The library quotes what it read last, however long that is.
    throw WeightsError(fmt::format("{}: its JSON cannot be read ({:.300})", what_, e.what()));
  }

 private:
  bool count() {
    if (++n_values_ > kMaxValues)
      throw WeightsError(fmt::format("{}: its JSON has more than {} values", what_, kMaxValues));
    return true;
  }
  bool open() {
    if (keys_.size() == kMaxDepth)
      throw WeightsError(fmt::format("{}: its JSON is nested deeper than {} levels", what_, kMaxDepth));
    keys_.emplace_back();
    return count();
  }
  bool close() {
    keys_.pop_back();
    return true;
  }

  const std::string& what_;
  std::vector<std::set<std::string>> keys_;  // of the objects and lists that are open; lists have none
  size_t n_values_ = 0;
};

}  // namespace

json parse_json_object(std::string_view text, const std::string& what) {
  Check check(what);
  json::sax_parse(text.begin(), text.end(), &check);
  json value = json::parse(text.begin(), text.end());  // cannot fail: the same text has just been read
  if (!value.is_object()) throw WeightsError(fmt::format("{}: is not a JSON object", what));
  return value;
}

}  // namespace sr
