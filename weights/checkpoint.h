// Checkpoints of other programs: named tensors out of safetensors, PyTorch (zip, and the pickle stream of PyTorch
// <= 1.5) and NumPy .npz files. The format is told by the content, not by the file's name.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "weights/file_io.h"

namespace sr {

struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> data;
  bool floating = true;  // false: integers in the file, such as BatchNorm's num_batches_tracked
};

// Tensors that lie together: a state_dict, or a whole file.
struct TensorGroup {
  std::string path;  // "" at the top, "state_dict" or "model.generator" where the state_dict lies within others
  std::vector<NamedTensor> tensors;
};

struct Checkpoint {
  std::string format;        // for people: "PyTorch zip", "PyTorch pickle stream", "safetensors", "NumPy npz"
  bool keeps_order = false;  // tensors come as the program registered them, not sorted by name
  std::vector<TensorGroup> groups;
  std::map<std::string, std::string> metadata;  // safetensors only
  std::string sha256;                           // of the whole file
};

// Whether a file that starts with these bytes is another program's: a zip archive, a pickle, HDF5 or a NumPy array. Of
// safetensors files only the metadata tell whose they are.
bool looks_foreign(Bytes start);

// Throws WeightsError. Numbers are widened or narrowed to float32; nothing in the file is ever executed.
Checkpoint read_checkpoint(const std::filesystem::path& path);

// The formats behind it; each throws WeightsError, starting with `where`.
class ZipFile;
Checkpoint read_torch_zip(const ZipFile& zip, size_t file_size, const std::string& where);
Checkpoint read_torch_stream(Bytes file, const std::string& where);
Checkpoint read_npz(const ZipFile& zip, const std::string& where);

}  // namespace sr
