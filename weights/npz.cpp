// NumPy's .npz: a zip archive of .npy files, each a header that is a Python dictionary in text, then the numbers.
//
//   "\x93NUMPY", major, minor, header length (2 bytes; 4 from version 2 on), header, data
//   header: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }
#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <optional>

#include "weights/checkpoint.h"
#include "weights/element_type.h"
#include "weights/weights_error.h"
#include "weights/zip_file.h"

namespace sr {
namespace {

struct NpyHeader {
  ElementType type;
  bool big_endian = false;
  bool fortran_order = false;
  std::vector<int64_t> shape;
};

// Reads the header's dictionary from left to right.
class HeaderParser {
 public:
  HeaderParser(std::string_view text, std::string where) : rest_(text), where_(std::move(where)) {}

  NpyHeader parse() {
    NpyHeader header{};
    std::optional<std::string> descr;
    bool has_order = false, has_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted_text();
      expect(':');
      if (key == "descr" && !descr) {
        descr = quoted_text();
      } else if (key == "fortran_order" && !has_order) {
        header.fortran_order = boolean();
        has_order = true;
      } else if (key == "shape" && !has_shape) {
        header.shape = tuple();
        has_shape = true;
      } else {
        refuse();
      }
      if (!accept(',') && !next_is('}')) refuse();
    }
    skip_spaces();
    if (!descr || !has_order || !has_shape || !rest_.empty()) refuse();
    set_type(*descr, header);
    return header;
  }

 private:
  [[noreturn]] void refuse() const { throw WeightsError(fmt::format("{}: its .npy header is not understood", where_)); }
  void skip_spaces() {
    while (!rest_.empty() && std::isspace(static_cast<unsigned char>(rest_[0]))) rest_.remove_prefix(1);
  }
  bool next_is(char c) {
    skip_spaces();
    return rest_.starts_with(c);
  }
  bool accept(char c) {
    if (!next_is(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!accept(c)) refuse();
  }
  std::string quoted_text() {
    skip_spaces();
    if (rest_.empty() || (rest_[0] != '\'' && rest_[0] != '"')) refuse();
    const size_t end = rest_.find(rest_[0], 1);
    if (end == std::string_view::npos) refuse();
    const std::string text(rest_.substr(1, end - 1));
    rest_.remove_prefix(end + 1);
    return text;
  }
  bool boolean() {
    skip_spaces();
    for (const std::string_view word : {"True", "False"})
      if (rest_.starts_with(word)) {
        rest_.remove_prefix(word.size());
        return word == "True";
      }
    refuse();
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> out;
    expect('(');
    while (!accept(')')) {
      skip_spaces();
      int64_t n = -1;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), n);
      if (error != std::errc() || n < 0 || out.size() >= 8) refuse();
      rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
      out.push_back(n);
      if (!accept(',') && !next_is(')')) refuse();
    }
    return out;
  }
  void set_type(const std::string& descr, NpyHeader& header) const {
    constexpr std::pair<const char*, ElementType> types[] = {
        {"f8", ElementType::f64}, {"f4", ElementType::f32}, {"f2", ElementType::f16},
        {"i8", ElementType::i64}, {"i4", ElementType::i32}, {"i2", ElementType::i16},
        {"i1", ElementType::i8},  {"u1", ElementType::u8},  {"b1", ElementType::boolean}};
    for (const auto& [name, type] : types)
      if (descr.size() == 3 && descr.substr(1) == name &&
          std::string_view("<>|=").find(descr[0]) != std::string::npos) {
        header.type = type;
        header.big_endian = descr[0] == '>';
        return;
      }
    throw WeightsError(
        fmt::format("{}: its numbers are of type {}; float16, float32 and float64 are read", where_, shown(descr)));
  }

  std::string_view rest_;
  std::string where_;
};

// Element (i0, i1, ...) of an array in Fortran order lies at i0 + n0 (i1 + n1 (i2 + ...)).
std::vector<float> to_c_order(const std::vector<float>& fortran, const std::vector<int64_t>& shape) {
  std::vector<float> out(fortran.size());
  std::vector<int64_t> index(shape.size(), 0);
  for (float& value : out) {
    int64_t from = 0;
    for (size_t axis = shape.size(); axis > 0; --axis) from = from * shape[axis - 1] + index[axis - 1];
    value = fortran[from];
    for (size_t axis = shape.size(); axis > 0 && ++index[axis - 1] == shape[axis - 1]; --axis) index[axis - 1] = 0;
  }
  return out;
}

NamedTensor read_npy(Bytes bytes, std::string name, const std::string& where) {
  const auto refuse = [&](const char* why) { throw WeightsError(fmt::format("{}: {}", where, why)); };
  if (bytes.size() < 12 || std::string_view(reinterpret_cast<const char*>(bytes.data()), 6) != "\x93NUMPY")
    refuse("is not a .npy file");
  if (bytes[6] < 1 || bytes[6] > 3) refuse("has a .npy version other than 1, 2 and 3");
  const size_t start = bytes[6] == 1 ? 10 : 12;
  size_t length = bytes[8] | size_t{bytes[9]} << 8;
  if (bytes[6] > 1) length |= size_t{bytes[10]} << 16 | size_t{bytes[11]} << 24;
  if (length > bytes.size() - start) refuse("its header is longer than the file");

  const NpyHeader header = HeaderParser({reinterpret_cast<const char*>(bytes.data()) + start, length}, where).parse();
  const Bytes data = bytes.subspan(start + length);
  uint64_t expected = element_size(header.type);
  for (const int64_t extent : header.shape) {
    if (extent != 0 && expected > data.size() / static_cast<uint64_t>(extent))
      refuse("its numbers do not fill its shape");
    expected *= static_cast<uint64_t>(extent);
  }
  if (expected != data.size()) refuse("its numbers do not fill its shape");

  std::vector<float> values = to_float32(data, header.type, header.big_endian);
  if (header.fortran_order) values = to_c_order(values, header.shape);
  return {std::move(name), header.shape, std::move(values), is_floating(header.type)};
}

}  // namespace

Checkpoint read_npz(const ZipFile& zip, const std::string& where) {
  Checkpoint out;
  out.format = "NumPy npz";
  out.keeps_order = true;
  TensorGroup group;
  for (const std::string& entry : zip.names()) {
    if (!entry.ends_with(".npy"))
      throw WeightsError(fmt::format("{}: {} in the zip archive is not a .npy file", where, shown(entry)));
    group.tensors.push_back(
        read_npy(zip.read(entry), entry.substr(0, entry.size() - 4), fmt::format("{}: array {}", where, shown(entry))));
  }
  out.groups.push_back(std::move(group));
  return out;
}

}  // namespace sr
