#include "weights/own_tensors.h"

#include <algorithm>
#include <charconv>

namespace sr {

int OwnTensors::count(std::string_view word, int most) const {
  int count = 0;
  for (const auto& [name, tensor] : tensors_) {
    const size_t at = name.find(word);
    if (at == std::string::npos) continue;
    int index = 0;
    const char* begin = name.data() + at + word.size();
    std::from_chars(begin, name.data() + name.size(), index);
    count = std::max(count, std::min(index, most) + 1);
  }
  return count;
}

int64_t OwnTensors::extent(const std::string& name, size_t axis) const {
  const auto found = tensors_.find(name);
  return found == tensors_.end() || found->second.shape.size() != 5 ? 0 : found->second.shape[axis];
}

}  // namespace sr
