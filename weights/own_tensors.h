// The tensors of a checkpoint with the names of the tensor table, asked how large their network is.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "weights/weights_file.h"

namespace sr {

// The tensors must outlive it.
class OwnTensors {
 public:
  explicit OwnTensors(const std::map<std::string, Tensor>& tensors) : tensors_(tensors) {}

  bool contains(const std::string& name) const { return tensors_.contains(name); }
  // The largest number behind `word` ("units.", say) in the names, plus 1; at most `most` + 1.
  int count(std::string_view word, int most) const;
  // Extents of a convolution's weights; 0 where they are missing.
  int64_t outputs(const std::string& name) const { return extent(name, 0); }
  int64_t inputs(const std::string& name) const { return extent(name, 1); }

 private:
  int64_t extent(const std::string& name, size_t axis) const;

  const std::map<std::string, Tensor>& tensors_;
};

}  // namespace sr
