// Golden values in NumPy's .npy format: little-endian float32 or float64, C order. numpy.lib.format, version 1.0.
#pragma once

#include <cstdint>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/base/volume.h"

namespace sr::test {

struct NpyArray {
  std::vector<int64_t> shape;
  std::vector<double> values;

  Volume as_volume() const {  // of a three-dimensional array [k][j][i]
    Volume volume({static_cast<int>(shape.at(0)), static_cast<int>(shape.at(1)), static_cast<int>(shape.at(2))});
    for (size_t i = 0; i < values.size(); ++i) volume.data[i] = static_cast<float>(values[i]);
    return volume;
  }
};

template <class T>
void append_values(const std::string& bytes, size_t start, std::vector<double>& values) {
  for (size_t at = start; at + sizeof(T) <= bytes.size(); at += sizeof(T)) {
    T value;
    bytes.copy(reinterpret_cast<char*>(&value), sizeof(T), at);
    values.push_back(static_cast<double>(value));
  }
}

inline NpyArray read_npy(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.size() < 10 || bytes.compare(0, 8, std::string("\x93NUMPY\x01\x00", 8)) != 0)
    throw std::runtime_error(path + " is missing or is not a .npy file of version 1.0");
  const size_t header_end = 10 + static_cast<uint8_t>(bytes[8]) + 256u * static_cast<uint8_t>(bytes[9]);
  const std::string header = bytes.substr(10, header_end - 10);
  if (header.find("'fortran_order': False") == std::string::npos) throw std::runtime_error(path + " is not in C order");

  NpyArray array;
  for (size_t at = header.find('(') + 1; header[at] != ')';) {
    if (header[at] >= '0' && header[at] <= '9') {
      size_t length = 0;
      array.shape.push_back(std::stoll(header.substr(at), &length));
      at += length;
    } else {
      ++at;
    }
  }
  if (header.find("'<f4'") != std::string::npos)
    append_values<float>(bytes, header_end, array.values);
  else if (header.find("'<f8'") != std::string::npos)
    append_values<double>(bytes, header_end, array.values);
  else
    throw std::runtime_error(path + " holds neither float32 nor float64");
  size_t count = 1;
  for (const int64_t n : array.shape) count *= static_cast<size_t>(n);
  if (count != array.values.size()) throw std::runtime_error(path + " is cut short");
  return array;
}

}  // namespace sr::test
